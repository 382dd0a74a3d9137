"""Prompt and completion, as text, as messages, mixed, and under other names."""

import json
from typing import Any

import pytest

from sft_core.data.formats.dialects.question_answer import PAIRS
from sft_core.store.records import Conversation, TextExample
from tests.sft_core.data.formats.rows import ANSWER, SYSTEM, TOOL, USER, conversation_of, example_of, format_of, reason

CHAT = Conversation((USER, ANSWER), 1)


@pytest.mark.parametrize(
    ("prompt", "completion"),
    [
        ([USER], "4"),
        ("2+2?", [ANSWER]),
        (json.dumps([USER]), json.dumps([ANSWER])),
        (json.dumps([USER]), [ANSWER]),
        (json.dumps([USER]), "4"),
        ([{"from": "human", "value": "2+2?"}], [{"from": "gpt", "value": "4"}]),
    ],
)
def test_a_string_beside_messages_is_a_message(prompt: Any, completion: Any) -> None:
    assert example_of({"prompt": prompt, "completion": completion}) == CHAT


@pytest.mark.parametrize("prompt", ["[1, 2]", "[", '[{"a": 1}]', "[INST] hi", ' [{"role": "user"}]'])
def test_text_that_begins_with_a_bracket_is_text(prompt: str) -> None:
    assert example_of({"prompt": prompt, "completion": "4"}) == TextExample(prompt, "4", has_prompt=True)


def test_the_broken_json_of_messages_is_refused() -> None:
    assert reason({"prompt": '[{"role": "user", ', "completion": "4"}) == "`prompt` is a string but not JSON"


def test_text_beside_a_system_prompt_is_a_conversation() -> None:
    row = {"system": "Be brief.", "question": "2+2?", "response": "4", "tools": [TOOL]}
    assert example_of(row) == Conversation((SYSTEM, USER, ANSWER), 2, (TOOL,))
    assert example_of({**row, "system": " "}) == TextExample("2+2?", "4", has_prompt=True)


@pytest.mark.parametrize(("asked", "learned"), PAIRS)
def test_other_names_are_read_like_prompt_and_completion(asked: str, learned: str) -> None:
    assert format_of({asked: "2+2=", learned: "4"}) == "question_answer"
    assert example_of({asked: "2+2=", learned: "4"}) == TextExample("2+2=", "4", has_prompt=True)
    assert example_of({asked: [USER], learned: [ANSWER]}) == CHAT


def test_the_first_known_pair_of_names_counts() -> None:
    row = {"question": "q", "answer": "a", "input": "i", "output": "o"}
    assert example_of(row) == TextExample("q", "a", has_prompt=True)


def test_tools_of_a_conversational_row_are_kept() -> None:
    row = {"prompt": [USER], "completion": [ANSWER], "tools": [TOOL], "chat_template_kwargs": {"a": 1}}
    conversation = conversation_of(row)
    assert (conversation.tools, conversation.chat_template_kwargs) == ((TOOL,), {"a": 1})
