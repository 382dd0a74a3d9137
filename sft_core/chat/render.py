"""Render every example of a shard to one text with the spans that the loss looks at."""

from pathlib import Path
from typing import Any

import orjson

from sft_core.chat.config import ChatConfig
from sft_core.chat.spans import assistant_spans, completion_span, intersect, render_conversation, render_prompt
from sft_core.chat.template import ChatTemplate, Span, TemplateRefusedError
from sft_core.errors import RecipeError
from sft_core.ledger import Ledger, Rejection, count_reasons, read_rejections, write_rejections
from sft_core.records import RENDERED, Conversation, StageOutcome, TextExample
from sft_core.tables import iterate_rows, write_table

STAGE = "render_chats"


def render(
    config: ChatConfig, template: ChatTemplate | None, source: str, examples: Path, ledger: Ledger, folder: Path
) -> StageOutcome:
    """Read a shard's examples; write `rendered.arrow` and `rejected.jsonl` into `folder`.

    Args:
        config: The `chat` section.
        template: The chat template, or None where neither tokenizer nor recipe has one.
        source: Name of the source, for rejections.
        examples: Folder with `examples.arrow` and the `rejected.jsonl` so far.
        ledger: The shard's ledger so far.
        folder: Where to write.

    Raises:
        RecipeError: if there are conversations but no template.
    """
    rendered: list[dict[str, Any]] = []
    rejections: list[Rejection] = []
    rejected_splits: list[str] = []
    for row in iterate_rows(examples / "examples.arrow"):
        try:
            rendered.append(_render_row(config, template, source, row))
        except TemplateRefusedError as error:
            rejected_splits.append(row["split"])
            rejections.append(Rejection.of(source, row, STAGE, str(error), row["example"]))
    write_table(folder / "rendered.arrow", RENDERED, rendered)
    write_rejections(folder / "rejected.jsonl", [*read_rejections(examples / "rejected.jsonl"), *rejections])
    ledger = ledger.rejecting(rejected_splits, count_reasons(rejections))
    return StageOutcome(ledger=ledger, facts={"source": source})


def _render_row(config: ChatConfig, template: ChatTemplate | None, source: str, row: dict[str, Any]) -> dict[str, Any]:
    fields = orjson.loads(row["example"])
    is_held_out = row["split"] == "eval"
    if "messages" not in fields:
        example = TextExample(**fields)
        text, spans = _render_text(config, example)
        question = (example.prompt, example.completion) if is_held_out and example.prompt else None
    elif template is None:
        raise RecipeError(
            f"source '{source}' holds conversations, but the tokenizer has no chat template; set "
            "chat.chat_template_path to a .jinja file or to the bundled 'chatml'"
        )
    else:
        conversation = Conversation(**fields)
        text, spans = _render_conversation(config, template, conversation)
        question = _question_and_answer(template, conversation) if is_held_out else None
    return {
        "row": row["row"],
        "line": row["line"],
        "split": row["split"],
        "text": text,
        "spans": [position for span in spans for position in span],
        "wants_special_tokens": "messages" not in fields,
        "prompt": question[0] if question else None,
        "reference": question[1] if question else None,
    }


def _render_text(config: ChatConfig, example: TextExample) -> tuple[str, list[Span]]:
    """Join prompt and completion; the supervised span is the completion, or all of it."""
    if config.assistant_only_loss:
        raise TemplateRefusedError("`assistant_only_loss` needs a conversation, and the row is plain text")
    if config.completion_only_loss and not example.has_prompt:
        raise TemplateRefusedError("`completion_only_loss` needs a prompt and a completion, and the row has one text")
    text = example.prompt + example.completion
    start = 0 if config.completion_only_loss is False else len(example.prompt)
    return text, [(start, len(text))]


def _render_conversation(
    config: ChatConfig, template: ChatTemplate, conversation: Conversation
) -> tuple[str, list[Span]]:
    """Render all messages; the supervised spans lie in the completion and in what the assistant says, as configured."""
    text, marked = render_conversation(template, conversation)
    spans: list[Span] = [(0, len(text))]
    has_completion = conversation.completion_index is not None
    if config.completion_only_loss and not has_completion:
        raise TemplateRefusedError(
            "`completion_only_loss` needs a prompt and a completion, and the row has one list of messages"
        )
    if has_completion and config.completion_only_loss is not False:
        spans = [completion_span(template, conversation, text)]
    if config.assistant_only_loss:
        spans = intersect(spans, assistant_spans(template, conversation, text, marked))
    return text, spans


def _question_and_answer(template: ChatTemplate, conversation: Conversation) -> tuple[str, str] | None:
    """The conversation as it stands before its last answer, and that answer, where it ends with one."""
    *before, last = conversation.messages
    if last["role"] != "assistant" or not before or not isinstance(last.get("content"), str):
        return None
    return render_prompt(template, conversation, len(before)), last["content"]
