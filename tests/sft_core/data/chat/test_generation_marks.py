"""Each marked span belongs to a message and holds what it says."""

import pytest

from sft_core.data.chat.generation_marks import marked_turns
from sft_core.data.chat.template import Span, TemplateRefusedError
from sft_core.store.records import Message

ASK = {"role": "user", "content": "2+2?"}


def answer(content: str | None, **more: object) -> Message:
    return {"role": "assistant", "content": content, **more}


#       0123456789
TEXT = "q4</s>q6</s>"


@pytest.mark.parametrize(
    ("marked", "messages", "expected"),
    [
        ([(1, 6), (7, 12)], [ASK, answer("4"), ASK, answer("6")], [1, 3]),
        ([(1, 6), (7, 12)], [ASK, answer(" 4\n"), ASK, answer("<think>x</think>6")], [1, 3]),
        ([(1, 6), (7, 12)], [ASK, answer(None, tool_calls=[{}]), ASK, answer("")], [1, 3]),
        ([(7, 12)], [ASK, answer("4"), ASK, answer("6")], [3]),
        ([(1, 2), (7, 12)], [ASK, answer("6", thinking="4")], [1, 1]),
        ([], [ASK], []),
    ],
    ids=["one a turn", "stripped and thought", "nothing to look for", "only the last", "in pieces", "none"],
)
def test_spans_are_given_their_messages(marked: list[Span], messages: list[Message], expected: list[int]) -> None:
    assert marked_turns(marked, TEXT, messages) == list(zip(expected, marked, strict=True))


@pytest.mark.parametrize(
    ("marked", "messages"),
    [
        ([(0, 1)], [ASK, answer("4")]),
        ([(1, 6), (0, 1)], [ASK, answer("4")]),
        ([(1, 6)], [ASK]),
    ],
    ids=["other words", "one too many", "nobody"],
)
def test_a_span_that_holds_nothing_of_a_message_is_refused(marked: list[Span], messages: list[Message]) -> None:
    with pytest.raises(TemplateRefusedError, match="marks a text as generated that no assistant message holds"):
        marked_turns(marked, TEXT, messages)
