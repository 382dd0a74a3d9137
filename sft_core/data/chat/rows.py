"""Render one example to one row: a text, and the spans of it that the loss covers."""

from typing import Any, NamedTuple

import orjson

from sft_core.data.chat.config import ChatConfig
from sft_core.data.chat.contents import has_images, words_said
from sft_core.data.chat.grammar import ASSISTANT, Grammar, grammar_of
from sft_core.data.chat.images import check_placeholders, with_placeholders
from sft_core.data.chat.literals import SpecialTexts, special_texts_of
from sft_core.data.chat.parts import with_readable_contents
from sft_core.data.chat.spans import Rendering, WeightedSpan, completion_span, intersect, turn_spans
from sft_core.data.chat.template import ChatTemplate, TemplateRefusedError
from sft_core.data.chat.turns import turn_weights
from sft_core.errors import RecipeError
from sft_core.pretrained.processor import ImageTokens
from sft_core.store.records import Conversation, TextExample

SEES_NOTHING = "the row has images, and no image processor lies with the model's tokenizer"
IDS_AND_IMAGES = "the row came as token ids, in which its images cannot be placed"


class RenderedRow(NamedTuple):
    """The columns of `RENDERED` that rendering produces, under the same names."""

    text: str
    spans: list[int]
    span_weights: list[float] | None = None
    literals: list[int] | None = None
    wants_special_tokens: bool = False
    input_ids: list[int] | None = None
    loss_mask: list[int] | None = None
    prompt: str | None = None
    reference: str | None = None


class RowRenderer:
    """Renderer for the rows of one source."""

    def __init__(
        self,
        config: ChatConfig,
        template: ChatTemplate | None,
        source: str,
        image_tokens: ImageTokens | None = None,
    ) -> None:
        self._config = config
        self._source = source
        self._image_tokens = image_tokens
        self._grammar = grammar_of(template) if template else None
        self._specials = special_texts_of(template.special_texts) if template else None

    def render(self, example: str, *, is_held_out: bool, num_images: int = 0) -> RenderedRow:
        """Render an example.

        Args:
            example: The example as JSON.
            is_held_out: True for rows of the eval split, which also get a prompt and a reference answer.
            num_images: Number of images of the row.

        Raises:
            TemplateRefusedError: if the row lacks what the loss should cover, or the span of it cannot be determined
                exactly; or if its images cannot be placed in its text.
            RecipeError: if the example is a conversation and there is no template.
        """
        fields = orjson.loads(example)
        if num_images and self._image_tokens is None:
            raise TemplateRefusedError(SEES_NOTHING)
        if "input_ids" in fields:
            if num_images:
                raise TemplateRefusedError(IDS_AND_IMAGES)
            return RenderedRow("", [], input_ids=fields["input_ids"], loss_mask=fields["loss_mask"])
        if "messages" not in fields:
            text = TextExample(**fields)
            if self._image_tokens:
                written = self._grammar.image if self._grammar else None
                text = with_placeholders(text, num_images, self._image_tokens, written)
            return _render_text(self._config, text, is_held_out, self._image_tokens)
        if self._grammar is None:
            raise RecipeError(
                f"source '{self._source}' holds conversations, but the tokenizer has no chat template; set "
                "chat.chat_template_path to a .jinja file or to the bundled 'chatml'"
            )
        specials = self._specials if self._specials and self._specials.in_json.search(example) else None
        row = _render_conversation(self._config, self._grammar, specials, fields, is_held_out)
        if self._image_tokens:
            check_placeholders(row.text, row.literals or [], num_images, self._image_tokens)
        return row


def _render_text(
    config: ChatConfig, example: TextExample, is_held_out: bool, image_tokens: ImageTokens | None
) -> RenderedRow:
    """Join prompt and completion. The loss covers the completion, or all of it if `completion_only_loss` is False."""
    if config.masks_turns:
        name = "assistant_only_loss" if config.assistant_only_loss else "train_on"
        raise TemplateRefusedError(f"`{name}` needs a conversation, and the row is plain text")
    if config.completion_only_loss and not example.has_prompt:
        raise TemplateRefusedError("`completion_only_loss` needs a prompt and a completion, and the row has one text")
    text = example.prompt + example.completion
    start = 0 if config.completion_only_loss is False else len(example.prompt)
    answers_in_words = image_tokens is None or image_tokens.placeholder not in example.completion
    is_asked = is_held_out and example.prompt and answers_in_words
    question = (example.prompt, example.completion) if is_asked else (None, None)
    return RenderedRow(text, [start, len(text)], wants_special_tokens=True, prompt=question[0], reference=question[1])


def _render_conversation(
    config: ChatConfig, grammar: Grammar, specials: SpecialTexts | None, fields: dict[str, Any], is_held_out: bool
) -> RenderedRow:
    fields["messages"] = with_readable_contents(grammar, tuple(fields["messages"]))
    if not grammar.writes_calls and any(message.get("tool_calls") for message in fields["messages"]):
        raise TemplateRefusedError("a message calls tools, and the chat template does not write such calls")
    rendering = Rendering.of(grammar, Conversation(**fields))
    spans = _weighted_spans(config, rendering)
    prompt, reference = _question_and_answer(rendering) if is_held_out else (None, None)
    return RenderedRow(
        rendering.text,
        [position for start, end, _ in spans for position in (start, end)],
        [weight for _, _, weight in spans] if any(weight != 1 for _, _, weight in spans) else None,
        (specials.literals(rendering) or None) if specials else None,
        prompt=prompt,
        reference=reference,
    )


def _weighted_spans(config: ChatConfig, rendering: Rendering) -> list[WeightedSpan]:
    """Return the spans that the loss covers: the completion, the chosen turns, their intersection, or all of it."""
    conversation = rendering.conversation
    spans: list[WeightedSpan] = [(0, len(rendering.text), 1.0)]
    first = 0
    if conversation.completion_index is None:
        if config.completion_only_loss:
            raise TemplateRefusedError(
                "`completion_only_loss` needs a prompt and a completion, and the row has one list of messages"
            )
    elif config.completion_only_loss is not False:
        spans, first = [(*completion_span(rendering), 1.0)], conversation.completion_index
    weights = turn_weights(config, conversation.messages)
    if weights is None:
        return spans
    turns = turn_spans(rendering, [index for index in weights if index >= first])
    return intersect(spans, [(start, end, weights[index]) for index, (start, end) in turns])


def _question_and_answer(rendering: Rendering) -> tuple[str, str] | tuple[None, None]:
    """Return the prompt before the last answer, and that answer; (None, None) if the conversation ends otherwise."""
    *before, last = rendering.conversation.messages
    answer = words_said(last.get("content"))
    if last["role"] != ASSISTANT or not before or answer is None or has_images(last["content"]):
        return None, None
    return rendering.prompt(len(before)), answer
