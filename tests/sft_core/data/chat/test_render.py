"""Rendering a shard: one text a row, and what the loss looks at in it."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from sft_core.data.chat import ChatConfig, ChatTemplate, render
from sft_core.data.chat.rows import SEES_NOTHING
from sft_core.errors import RecipeError
from sft_core.store.ledger import Ledger, Rejection, read_rejections, write_rejections
from sft_core.store.records import EXAMPLES, RENDERED, Conversation, Example, StageOutcome, TextExample, TokenExample
from sft_core.store.tables import iterate_rows, read_table, write_table

from .templates import BRACKETS, CHATML, FORGETFUL_THINKING, PLAIN_CHATML, PROMISING

END = (("eos_token", "<|im_end|>"),)
USER, ANSWER, MORE, LAST = (
    {"role": role, "content": content}
    for role, content in (("user", "2+2?"), ("assistant", "4"), ("user", "3+3?"), ("assistant", "6"))
)
TEXT = TextExample("", "words", has_prompt=False)
QA = TextExample("2+2=", "4", has_prompt=True)
CHAT = Conversation((USER, ANSWER, MORE, LAST))
CHAT_QA = Conversation((USER, ANSWER, MORE, LAST), 3)
LATE = Conversation((USER, ANSWER, MORE, LAST), 1)


def run(
    folder: Path,
    examples: list[Example],
    source: str | None = CHATML,
    split: str = "train",
    images: str | None = None,
    **config: Any,
) -> StageOutcome:
    """Render examples; the stage's files lie in `folder/out`."""
    rows = [
        {
            "row": 10 + number,
            "line": None,
            "split": split,
            "format": "any",
            "example": orjson.dumps(example).decode(),
            "example_id": 2**63 + number,
            "images": images if number % 2 else None,
        }
        for number, example in enumerate(examples)
    ]
    write_table(folder / "examples.arrow", EXAMPLES, rows)
    earlier = Rejection(source="train", row=5, line=None, stage="detect_formats", reason="earlier", excerpt="")
    write_rejections(folder / "rejected.jsonl", [earlier])
    (folder / "out").mkdir()
    split_rows = {f"rows_{split}": len(rows)}
    ledger = Ledger(rows_in=len(rows) + 1, **split_rows, rows_rejected=1, rejected_by_reason={"earlier": 1})
    template = None if source is None else ChatTemplate(source, END, None, ("<|im_end|>", "<|im_start|>"))
    return render(ChatConfig(**config), template, "train", folder, ledger, folder / "out")


def rendered(folder: Path) -> list[dict[str, Any]]:
    return list(iterate_rows(folder / "out" / "rendered.arrow"))


def learned(folder: Path, example: Example, source: str = CHATML, **config: Any) -> list[str]:
    """The parts of the only row's text that the loss looks at."""
    run(folder, [example], source, **config)
    (row,) = rendered(folder)
    return [row["text"][start:end] for start, end in zip(row["spans"][::2], row["spans"][1::2], strict=True)]


def refusal(folder: Path, example: Example, source: str = CHATML, **config: Any) -> str:
    outcome = run(folder, [example], source, **config)
    assert rendered(folder) == []
    assert outcome.ledger is not None
    (_, reason) = outcome.ledger.rejected_by_reason
    return reason


WHOLE_CHAT = (
    "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n4<|im_end|>\n"
    "<|im_start|>user\n3+3?<|im_end|>\n<|im_start|>assistant\n6<|im_end|>\n"
)
AFTER_FIRST = WHOLE_CHAT[WHOLE_CHAT.index("4") :]


@pytest.mark.parametrize(
    ("example", "config", "expected"),
    [
        (TEXT, {}, ["words"]),
        (TEXT, {"completion_only_loss": False}, ["words"]),
        (QA, {}, ["4"]),
        (QA, {"completion_only_loss": True}, ["4"]),
        (QA, {"completion_only_loss": False}, ["2+2=4"]),
        (CHAT, {}, [WHOLE_CHAT]),
        (CHAT, {"completion_only_loss": False}, [WHOLE_CHAT]),
        (CHAT, {"assistant_only_loss": True}, ["4<|im_end|>", "6<|im_end|>"]),
        (CHAT_QA, {}, ["6<|im_end|>\n"]),
        (CHAT_QA, {"completion_only_loss": True}, ["6<|im_end|>\n"]),
        (CHAT_QA, {"completion_only_loss": False}, [WHOLE_CHAT]),
        (CHAT_QA, {"assistant_only_loss": True}, ["6<|im_end|>"]),
        (CHAT_QA, {"assistant_only_loss": True, "completion_only_loss": False}, ["4<|im_end|>", "6<|im_end|>"]),
        (LATE, {}, [AFTER_FIRST]),
        (LATE, {"assistant_only_loss": True}, ["4<|im_end|>", "6<|im_end|>"]),
        (CHAT, {"train_on": "all"}, ["4<|im_end|>", "6<|im_end|>"]),
        (CHAT, {"train_on": "last"}, ["6<|im_end|>"]),
        (CHAT, {"train_on_roles": ("user",)}, ["2+2?<|im_end|>", "3+3?<|im_end|>"]),
        (LATE, {"train_on_roles": ("user", "assistant")}, ["4<|im_end|>", "3+3?<|im_end|>", "6<|im_end|>"]),
        (LATE, {"train_on_roles": ("user",), "train_on": "last"}, ["3+3?<|im_end|>"]),
    ],
)
@pytest.mark.parametrize("source", [CHATML, PLAIN_CHATML], ids=["marked", "unmarked"])
def test_the_loss_looks_at_what_the_recipe_says(
    tmp_path: Path, source: str, example: Example, config: dict[str, bool], expected: list[str]
) -> None:
    assert learned(tmp_path, example, source, **config) == expected


@pytest.mark.parametrize(
    ("example", "config", "expected"),
    [
        (TEXT, {"assistant_only_loss": True}, "`assistant_only_loss` needs a conversation, and the row is plain text"),
        (QA, {"assistant_only_loss": True}, "`assistant_only_loss` needs a conversation, and the row is plain text"),
        (QA, {"train_on": "last"}, "`train_on` needs a conversation, and the row is plain text"),
        (
            TEXT,
            {"completion_only_loss": True},
            "`completion_only_loss` needs a prompt and a completion, and the row has one text",
        ),
        (
            CHAT,
            {"completion_only_loss": True},
            "`completion_only_loss` needs a prompt and a completion, and the row has one list of messages",
        ),
    ],
)
def test_a_row_without_what_the_loss_looks_at_is_rejected(
    tmp_path: Path, example: Example, config: dict[str, bool], expected: str
) -> None:
    assert refusal(tmp_path, example, **config) == expected


def test_a_row_whose_earlier_turns_are_rewritten_is_rejected_only_where_spans_need_them(tmp_path: Path) -> None:
    thinking = Conversation((USER, {"role": "assistant", "content": "<think>hm</think>4"}, MORE, LAST))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    assert "rewrites earlier turns" in refusal(tmp_path / "a", thinking, FORGETFUL_THINKING, assistant_only_loss=True)
    assert learned(tmp_path / "b", thinking, FORGETFUL_THINKING) == ["<u>2+2?</u><a>4</a><u>3+3?</u><a>6</a>"]


def test_of_a_completion_only_its_own_turns_have_to_be_told(tmp_path: Path) -> None:
    thinking = Conversation((USER, {"role": "assistant", "content": "<think>hm</think>4"}, MORE, LAST), 3)
    assert learned(tmp_path, thinking, FORGETFUL_THINKING, assistant_only_loss=True) == ["6</a>"]


def test_a_row_that_the_template_raises_on_is_rejected_with_its_words(tmp_path: Path) -> None:
    system = Conversation(({"role": "system", "content": "s"}, USER, ANSWER))
    assert refusal(tmp_path, system, BRACKETS) == "the chat template refuses the conversation: no role system"


@pytest.mark.parametrize("content", [None, "", "Let me see."])
def test_calls_of_tools_that_the_template_would_leave_out_are_refused(tmp_path: Path, content: str | None) -> None:
    call = {"role": "assistant", "content": content, "tool_calls": [{"function": {"name": "add", "arguments": {}}}]}
    reason = "a message calls tools, and the chat template does not write such calls"
    assert refusal(tmp_path, Conversation((USER, call))) == reason


def test_rejections_are_added_to_the_earlier_ones_and_the_ledger_moves_the_rows(tmp_path: Path) -> None:
    outcome = run(tmp_path, [CHAT, TEXT, QA], assistant_only_loss=True)
    reason = "`assistant_only_loss` needs a conversation, and the row is plain text"
    assert outcome.ledger == Ledger(
        rows_in=4, rows_train=1, rows_rejected=3, rejected_by_reason={"earlier": 1, reason: 2}
    )
    rejections = read_rejections(tmp_path / "out" / "rejected.jsonl")
    assert [(rejection.row, rejection.stage) for rejection in rejections] == [
        (5, "detect_formats"),
        (11, "render_chats"),
        (12, "render_chats"),
    ]


def test_conversations_without_a_template_are_a_mistake_of_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="source 'train' holds conversations, but the tokenizer has no chat template"):
        run(tmp_path, [TEXT, CHAT], source=None)


def test_plain_text_needs_no_template(tmp_path: Path) -> None:
    run(tmp_path, [TEXT, QA], source=None)
    assert [row["text"] for row in rendered(tmp_path)] == ["words", "2+2=4"]


def test_only_plain_text_wants_the_tokenizers_special_tokens(tmp_path: Path) -> None:
    run(tmp_path, [TEXT, QA, CHAT])
    assert [row["wants_special_tokens"] for row in rendered(tmp_path)] == [True, True, False]


def test_rows_keep_their_numbers_and_splits(tmp_path: Path) -> None:
    run(tmp_path, [TEXT, QA], split="eval")
    assert [(row["row"], row["line"], row["split"]) for row in rendered(tmp_path)] == [
        (10, None, "eval"),
        (11, None, "eval"),
    ]


def test_what_came_with_the_examples_stands_beside_the_text(tmp_path: Path) -> None:
    run(tmp_path, [TEXT, Conversation(({"role": "user"},)), QA, CHAT])
    assert read_table(tmp_path / "out" / "rendered.arrow").schema == RENDERED
    assert [(row["row"], row["example_id"], row["prompt_id"], row["images"]) for row in rendered(tmp_path)] == [
        (10, 2**63, None, None),
        (12, 2**63 + 2, None, None),
        (13, 2**63 + 3, None, None),
    ]


def test_a_row_with_images_is_rejected_where_the_model_sees_none(tmp_path: Path) -> None:
    run(tmp_path, [TEXT, CHAT, TEXT, TokenExample((5,), (1,))], images='["a.png"]')
    assert [row["row"] for row in rendered(tmp_path)] == [10, 12]
    assert {one.reason for one in read_rejections(tmp_path / "out" / "rejected.jsonl")} == {"earlier", SEES_NOTHING}


def test_a_shard_of_no_kept_rows_is_a_table_of_none(tmp_path: Path) -> None:
    run(tmp_path, [TEXT], assistant_only_loss=True)
    table = read_table(tmp_path / "out" / "rendered.arrow")
    assert (table.num_rows, table.schema) == (0, RENDERED)


@pytest.mark.parametrize("config", [{}, {"assistant_only_loss": True}, {"completion_only_loss": True}])
def test_token_ids_are_passed_on_with_the_mask_that_they_came_with(tmp_path: Path, config: dict[str, Any]) -> None:
    run(tmp_path, [TokenExample((5, 6, 7), (0, 1, 1))], **config)
    (row,) = rendered(tmp_path)
    assert (row["input_ids"], row["loss_mask"], row["text"], row["spans"]) == ([5, 6, 7], [0, 1, 1], "", [])


def test_weights_stand_beside_their_spans_where_they_are_not_all_1(tmp_path: Path) -> None:
    half, context = Conversation((USER, {**ANSWER, "weight": 0.5}, MORE, LAST)), {**LAST, "train": False}
    run(tmp_path, [half, Conversation((USER, ANSWER, MORE, context)), CHAT])
    rows = rendered(tmp_path)
    assert [row["span_weights"] for row in rows] == [[0.5, 1.0], None, None]
    assert [len(row["spans"]) for row in rows] == [4, 2, 2]
    assert {row["text"] for row in rows} == {WHOLE_CHAT}


def test_a_completion_is_cut_by_the_turns_that_weights_leave(tmp_path: Path) -> None:
    late = Conversation((USER, ANSWER, MORE, {**LAST, "weight": 2}), 1)
    run(tmp_path, [late, Conversation((USER, {**ANSWER, "weight": 3}, MORE, LAST), 3)])
    assert [row["span_weights"] for row in rendered(tmp_path)] == [[1.0, 2.0], None]


def test_special_tokens_that_the_data_spells_are_literals(tmp_path: Path) -> None:
    forged = Conversation(({"role": "user", "content": "a<|im_end|>"}, ANSWER))
    run(tmp_path, [forged, CHAT, TextExample("", "a<|im_end|>", has_prompt=False)])
    start = len("<|im_start|>user\na")
    assert [row["literals"] for row in rendered(tmp_path)] == [[start, start + len("<|im_end|>")], None, None]


def test_contents_in_parts_are_read(tmp_path: Path) -> None:
    parts = {"role": "user", "content": [{"type": "text", "text": "2+"}, {"type": "text", "text": "2?"}]}
    assert learned(tmp_path, Conversation((parts, ANSWER, MORE, LAST))) == [WHOLE_CHAT]


def question_and_answer(
    folder: Path, example: Example, source: str = CHATML, split: str = "eval"
) -> tuple[str | None, str | None]:
    run(folder, [example], source, split)
    (row,) = rendered(folder)
    return row["prompt"], row["reference"]


@pytest.mark.parametrize(
    "example", [CHAT, CHAT_QA, LATE], ids=["messages", "prompt and completion", "several turns in the completion"]
)
def test_a_held_out_conversation_asks_for_its_last_answer(tmp_path: Path, example: Example) -> None:
    assert question_and_answer(tmp_path, example) == (WHOLE_CHAT[: WHOLE_CHAT.index("6")], "6")


def test_a_held_out_prompt_asks_for_its_completion(tmp_path: Path) -> None:
    assert question_and_answer(tmp_path, QA) == ("2+2=", "4")


def test_the_question_is_what_the_template_promises_the_assistant(tmp_path: Path) -> None:
    assert question_and_answer(tmp_path, Conversation((USER, ANSWER)), PROMISING) == ("u:2+2?;a:<think></think>", "4")


@pytest.mark.parametrize(
    "example",
    [
        TEXT,
        TextExample("", "4", has_prompt=True),
        Conversation((USER,)),
        Conversation((ANSWER,)),
        Conversation((USER, ANSWER, MORE)),
    ],
    ids=["text", "empty prompt", "question only", "answer only", "ends with a question"],
)
def test_rows_without_a_question_or_an_answer_are_not_asked(tmp_path: Path, example: Example) -> None:
    assert question_and_answer(tmp_path, example) == (None, None)


def test_rows_to_train_on_are_not_asked(tmp_path: Path) -> None:
    assert question_and_answer(tmp_path, CHAT, split="train") == (None, None)
