"""Which rows are held out: a pure function of prompt and seed."""

import random

import pytest

from sft_core.data.formats.identity import prompt_id_of
from sft_core.data.formats.split import split_of
from sft_core.store.records import Conversation, Example, TextExample


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def asked(question: str, answer: str = "yes") -> TextExample:
    return TextExample(question, answer, has_prompt=True)


def split(example: Example, fraction: float, seed: int) -> str:
    return split_of(prompt_id_of(example, None), fraction, seed)


EXAMPLES = [asked(f"question {number}") for number in range(2000)]


def held_out(examples: list[TextExample], seed: int = 42, fraction: float = 0.1) -> set[str]:
    return {example.prompt for example in examples if split(example, fraction, seed) == "eval"}


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.9])
def test_about_the_asked_fraction_is_held_out(fraction: float) -> None:
    deviation = (2000 * fraction * (1 - fraction)) ** 0.5
    assert abs(len(held_out(EXAMPLES, fraction=fraction)) - 2000 * fraction) < 4 * deviation


def test_without_a_fraction_nothing_is_held_out() -> None:
    assert held_out(EXAMPLES, fraction=0.0) == set()


def test_appended_rows_move_no_other_row() -> None:
    assert held_out(EXAMPLES) & {example.prompt for example in EXAMPLES[:1000]} == held_out(EXAMPLES[:1000])


def test_the_order_of_the_rows_does_not_matter() -> None:
    shuffled = random.Random(1).sample(EXAMPLES, len(EXAMPLES))
    assert held_out(shuffled) == held_out(EXAMPLES)


def test_a_larger_fraction_holds_out_the_same_rows_and_more() -> None:
    assert held_out(EXAMPLES, fraction=0.1) < held_out(EXAMPLES, fraction=0.2)


def test_another_seed_holds_out_other_rows() -> None:
    assert held_out(EXAMPLES, seed=42) != held_out(EXAMPLES, seed=43)


def splits(examples: list[Example]) -> set[str]:
    """The splits of examples under many seeds: one split per seed if they always lie on one side."""
    return {"".join(split(example, 0.5, seed)[0] for seed in range(64)) for example in examples}


def test_rows_that_share_a_prompt_lie_on_one_side() -> None:
    assert len(splits([asked("why?", answer) for answer in "abcdef"])) == 1


def test_conversations_that_share_everything_before_the_last_answer_lie_on_one_side() -> None:
    before = (said("system", "s"), said("user", "u"), said("assistant", "a"), said("user", "v"))
    assert len(splits([Conversation((*before, said("assistant", answer))) for answer in "abcdef"])) == 1


def test_conversations_that_share_only_the_first_question_are_split() -> None:
    first = (said("user", "u"), said("assistant", "a"))
    more = [Conversation((*first, said("user", word), said("assistant", "b"))) for word in "abcdef"]
    assert len(splits([*more])) == 6


def test_completions_of_one_conversational_prompt_lie_on_one_side() -> None:
    assert len(splits([Conversation((said("user", "u"), said("assistant", answer)), 1) for answer in "abcdef"])) == 1


@pytest.mark.parametrize(
    "examples",
    [
        [TextExample("", word, has_prompt=False) for word in "abcdef"],
        [TextExample("", word, has_prompt=True) for word in "abcdef"],
        [Conversation((said("assistant", word),)) for word in "abcdef"],
    ],
    ids=["text", "empty prompt", "assistant alone"],
)
def test_rows_without_a_prompt_are_split_by_what_they_say(examples: list[Example]) -> None:
    assert len(splits(examples)) == 6
