"""Turns of conversations that cannot be predicted, told by rendering their beginnings."""

import pytest

from sft_core.data.chat.grammar import Grammar
from sft_core.data.chat.incremental import holds_words, incremental_span, shared_length
from sft_core.data.chat.template import ChatTemplate, TemplateRefusedError
from sft_core.store.records import Conversation, Message

from .templates import DEEPSEEK, FORGETFUL_THINKING, LLAMA2, PLAIN_CHATML, PROMISING, RETURNING, STRIPPING

TOKENS = (("bos_token", "<s>"), ("eos_token", "</s>"))
ASK, ANSWER = {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}


def told(source: str, index: int, *messages: Message) -> str:
    grammar, conversation = Grammar(ChatTemplate(source, TOKENS, None, ("<|im_end|>",))), Conversation(messages)
    text = grammar.render(conversation, messages)
    return text[slice(*incremental_span(grammar, conversation, text, index))]


@pytest.mark.parametrize(
    ("source", "first", "last"),
    [
        (PLAIN_CHATML, "4<|im_end|>", "4<|im_end|>"),
        (LLAMA2, " 4 </s>", " 4 </s>"),
        (RETURNING, "<|message|>4<|end|>", "<|message|>4<|return|>"),
        (PROMISING, "4;", "4;"),
        (STRIPPING, "4\n\n", "4\n\n"),
    ],
)
def test_a_turn_in_the_middle_and_the_last_one(source: str, first: str, last: str) -> None:
    messages = (ASK, {**ANSWER, "name": "Ann"}, ASK, {**ANSWER, "name": "Ann"})
    assert [told(source, index, *messages) for index in (1, 3)] == [first, last]


@pytest.mark.parametrize(("source", "expected"), [(PLAIN_CHATML, "2+2?<|im_end|>"), (LLAMA2, "2+2? [/INST]")])
def test_the_turn_of_somebody_else_is_its_content_and_its_end(source: str, expected: str) -> None:
    assert told(source, 2, ASK, ANSWER, {**ASK, "name": "Bob"}, ANSWER) == expected


def test_an_answer_without_all_that_was_said_is_refused() -> None:
    thinking = {"role": "assistant", "content": "<think>2 and 2</think>4"}
    with pytest.raises(TemplateRefusedError, match="leaves out a part of a turn"):
        told(DEEPSEEK, 1, ASK, thinking)
    assert told(FORGETFUL_THINKING, 1, ASK, thinking) == "<think>2 and 2</think>4</a>"


def test_contents_in_parts_of_somebody_else_are_refused() -> None:
    source = "{% for m in messages %}{{ m.role }}:{{ m.content | tojson }}{% endfor %}"
    with pytest.raises(TemplateRefusedError, match="cannot be told exactly"):
        told(source, 0, {"role": "user", "content": [{"type": "image"}]}, ANSWER)


@pytest.mark.parametrize(
    ("said", "content", "holds"),
    [
        ("4</s>", "4", True),
        ("4</s>", " 4\n", True),
        ("<think>\na\n</think>\n\nb", "<think>a</think>b", True),
        ("b", "<think>a</think>b", False),
        ("4", "", True),
        ("anything", None, True),
    ],
)
def test_words_are_compared_up_to_tags_and_white_space(said: str, content: str | None, holds: bool) -> None:
    assert holds_words(said, {"role": "assistant", "content": content}) == holds


@pytest.mark.parametrize(("text", "other", "expected"), [("abc", "abd", 2), ("ab", "abc", 2), ("", "a", 0)])
def test_shared_beginnings(text: str, other: str, expected: int) -> None:
    assert shared_length(text, other) == expected
