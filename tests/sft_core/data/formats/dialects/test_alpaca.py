"""Alpaca rows become conversations."""

import pytest

from sft_core.store.records import Conversation
from tests.sft_core.data.formats.rows import ANSWER, TOOL, USER, Fields, conversation_of, example_of


@pytest.mark.parametrize(
    ("more", "contents"),
    [
        ({}, ["Add", "5"]),
        ({"input": "2 and 3"}, ["Add\n2 and 3", "5"]),
        ({"context": "2 and 3"}, ["Add\n2 and 3", "5"]),
        ({"input": ""}, ["Add", "5"]),
        ({"input": None, "system": None, "history": None}, ["Add", "5"]),
        ({"system": "Be brief."}, ["Be brief.", "Add", "5"]),
        ({"history": [["1+1?", "2"], ["2+2?", "4"]]}, ["1+1?", "2", "2+2?", "4", "Add", "5"]),
        ({"system": "S", "history": [["a", "b"]], "input": "i"}, ["S", "a", "b", "Add\ni", "5"]),
    ],
)
def test_alpaca_becomes_a_conversation_whose_last_answer_is_the_completion(more: Fields, contents: list[str]) -> None:
    example = conversation_of({"instruction": "Add", "output": "5", **more})
    assert [message["content"] for message in example.messages] == contents
    assert example.completion_index == len(contents) - 1


def test_alpaca_roles_follow_the_turns() -> None:
    example = conversation_of({"instruction": "Add", "output": "5", "system": "S", "history": [["a", "b"]]})
    assert [message["role"] for message in example.messages] == ["system", "user", "assistant", "user", "assistant"]


def test_an_alpaca_instruction_may_be_in_the_input_alone() -> None:
    assert example_of({"instruction": "", "input": "2+2?", "output": "4"}) == Conversation((USER, ANSWER), 1)


@pytest.mark.parametrize("column", ["output", "response", "completion", "answer"])
def test_the_answer_has_several_names(column: str) -> None:
    assert example_of({"instruction": "2+2?", column: "4"}) == Conversation((USER, ANSWER), 1)


def test_alpaca_rows_may_have_tools() -> None:
    assert conversation_of({"instruction": "Add", "output": "5", "tools": [TOOL]}).tools == (TOOL,)
