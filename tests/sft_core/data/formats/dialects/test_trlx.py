"""trlX's dialogues of strings."""

from typing import Any

import pytest

from sft_core.store.records import Conversation, TextExample
from tests.sft_core.data.formats.rows import example_of, format_of


@pytest.mark.parametrize(
    "row", [["2+2=", "4"], {"samples": ["2+2=", "4"]}, {"dialogue": ["2+2=", "4"]}, {"samples": '["2+2=", "4"]'}]
)
def test_two_strings_are_prompt_and_completion(row: Any) -> None:
    assert format_of(row) == "trlx"
    assert example_of(row) == TextExample("2+2=", "4", has_prompt=True)


def test_more_strings_are_a_conversation_in_which_only_outputs_weigh() -> None:
    expected = (
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c", "weight": 0},
        {"role": "assistant", "content": "d"},
    )
    assert example_of(["a", "b", "c", "d"]) == Conversation(expected, 1)
