"""Where in a rendered conversation the loss belongs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.data.chat.grammar import Grammar
from sft_core.data.chat.spans import Rendering, WeightedSpan, completion_span, intersect, turn_spans
from sft_core.data.chat.template import ChatTemplate, TemplateRefusedError
from sft_core.store.records import Conversation

from .templates import (
    BRACKETS,
    CHATML,
    FORGETFUL_THINKING,
    LOOP_CONTROLS,
    MARKED_THINKING,
    MARKLESS_END,
    PLAIN_CHATML,
    PROMISING,
    SEPARATED,
)

END = (("eos_token", "<|im_end|>"), ("pad_token", "<|pad|>"))


def talk(*contents: str, completion_index: int | None = None) -> Conversation:
    """User and assistant in turns."""
    messages = [
        {"role": ("user", "assistant")[number % 2], "content": content} for number, content in enumerate(contents)
    ]
    return Conversation(tuple(messages), completion_index)


def rendering_of(source: str, conversation: Conversation) -> Rendering:
    return Rendering.of(Grammar(ChatTemplate(source, END)), conversation)


def said(source: str, conversation: Conversation) -> list[str]:
    """What the assistant says, cut out of the rendering."""
    rendering = rendering_of(source, conversation)
    turns = [index for index, message in enumerate(conversation.messages) if message["role"] == "assistant"]
    return [rendering.text[slice(*span)] for _, span in turn_spans(rendering, turns)]


def completed(source: str, conversation: Conversation) -> str:
    rendering = rendering_of(source, conversation)
    return rendering.text[slice(*completion_span(rendering))]


TALK = talk("2+2?", "4", "3+3?", "6")


def test_the_prompt_ends_where_the_assistant_is_about_to_speak() -> None:
    assert rendering_of(CHATML, TALK).prompt(1) == "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("source", [CHATML, PLAIN_CHATML], ids=["marked", "unmarked"])
def test_the_assistant_says_its_words_and_the_end_of_its_turn(source: str) -> None:
    assert said(source, TALK) == ["4<|im_end|>", "6<|im_end|>"]


def test_a_turn_may_end_without_an_end_token() -> None:
    assert said(LOOP_CONTROLS, TALK) == ["4;", "6;"]


def test_an_empty_generation_prompt_leaves_the_assistants_first_space_to_it() -> None:
    assert said(BRACKETS, TALK) == [" 4<|im_end|>", " 6<|im_end|>"]


def test_two_turns_of_the_assistant_in_a_row_are_two_spans() -> None:
    messages = (
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "assistant", "content": "c"},
    )
    assert (
        said(PLAIN_CHATML, Conversation(messages))
        == said(CHATML, Conversation(messages))
        == ["b<|im_end|>", "c<|im_end|>"]
    )


def test_without_an_assistant_there_is_nothing_to_learn() -> None:
    assert said(PLAIN_CHATML, talk("2+2?")) == said(CHATML, talk("2+2?")) == []


@pytest.mark.parametrize("content", ["", " ", "\n", "4\n", "\n\n4", "<|im_end|>"])
def test_white_space_of_the_assistant_is_its_own(content: str) -> None:
    assert said(PLAIN_CHATML, talk("2+2?", content)) == said(CHATML, talk("2+2?", content)) == [f"{content}<|im_end|>"]


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\uf8fe\uf8ff"), max_size=12), min_size=1, max_size=6
    )
)
def test_a_template_without_marks_gives_the_spans_of_the_one_with_marks(contents: list[str]) -> None:
    assert said(PLAIN_CHATML, talk(*contents)) == said(CHATML, talk(*contents))


def test_a_template_that_rewrites_earlier_turns_is_refused() -> None:
    with pytest.raises(TemplateRefusedError, match="the chat template rewrites earlier turns"):
        said(FORGETFUL_THINKING, talk("2+2?", "<think>hm</think>4", "3+3?", "6"))


def test_a_template_that_rewrites_earlier_turns_may_mark_what_it_learns_itself() -> None:
    assert said(MARKED_THINKING, talk("2+2?", "<think>hm</think>4", "3+3?", "<think>mm</think>6")) == [
        "<think>mm</think>6</a>"
    ]


def test_an_empty_turn_behind_an_end_token_is_an_empty_span() -> None:
    assert said(SEPARATED, talk("2+2?", "")) == [""]
    assert said(SEPARATED, talk("2+2?", "4")) == ["4"]


def test_a_template_that_could_rewrite_earlier_turns_but_does_not_is_fine() -> None:
    assert said(FORGETFUL_THINKING, talk("2+2?", "<think>hm</think>4")) == ["<think>hm</think>4</a>"]
    assert said(FORGETFUL_THINKING, TALK) == ["4</a>", "6</a>"]


def test_what_only_the_generation_prompt_ends_with_is_part_of_no_turn() -> None:
    assert said(PROMISING, TALK) == ["4;", "6;"]
    assert said(PROMISING, talk("2+2?", "<think></think>4")) == ["4;"]


@pytest.mark.parametrize(("completion_index", "expected"), [(1, "4;u:3+3?;a:6;"), (3, "6;")])
def test_the_completion_is_all_after_the_prompt(completion_index: int, expected: str) -> None:
    conversation = talk("2+2?", "4", "3+3?", "6", completion_index=completion_index)
    assert completed(LOOP_CONTROLS, conversation) == expected.replace(":", "=")


def test_the_completion_starts_where_it_differs_from_what_the_prompt_promised() -> None:
    assert completed(PROMISING, talk("2+2?", "4", completion_index=1)) == "4;"
    assert completed(PROMISING, talk("2+2?", "<thought>", completion_index=1)) == "<thought>;"
    named = ({"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "<thought>", "name": "Ann"})
    assert completed(PROMISING, Conversation(named, 1)) == "<thought>;"


def test_a_completion_that_cannot_be_told_is_what_the_prompt_does_not_share() -> None:
    assert completed(MARKLESS_END, talk("2+2?", "4", completion_index=1)) == "\na: 4<|im_end|>"


def weighing(*spans: tuple[int, int], weight: float = 1.0) -> list[WeightedSpan]:
    return [(start, end, weight) for start, end in spans]


@pytest.mark.parametrize(
    ("spans", "others", "expected"),
    [
        ([(0, 10)], [(2, 4), (6, 12)], [(2, 4), (6, 10)]),
        ([(0, 2)], [(2, 4)], []),
        ([(5, 9)], [], []),
        ([(3, 3)], [(0, 9)], []),
        ([(0, 5), (7, 9)], [(4, 8)], [(4, 5), (7, 8)]),
    ],
)
def test_the_intersection_holds_what_lies_in_both(
    spans: list[tuple[int, int]], others: list[tuple[int, int]], expected: list[tuple[int, int]]
) -> None:
    assert intersect(weighing(*spans), weighing(*others)) == weighing(*expected)
    assert intersect(weighing(*others), weighing(*spans)) == weighing(*expected)


def test_weights_of_an_intersection_are_multiplied() -> None:
    assert intersect([(0, 5, 0.5)], [(1, 3, 1.0), (4, 9, 0.5)]) == [(1, 3, 0.5), (4, 5, 0.25)]


SPANS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=4).map(
    lambda pairs: weighing(*((a, a + b) for a, b in pairs))
)


@given(SPANS, SPANS)
def test_the_intersection_holds_every_character_that_lies_in_both(
    spans: list[WeightedSpan], others: list[WeightedSpan]
) -> None:
    def characters(pairs: list[WeightedSpan]) -> set[int]:
        return {character for start, end, _ in pairs for character in range(start, end)}

    assert characters(intersect(spans, others)) == characters(spans) & characters(others)
