"""ShareGPT's turns become the messages that they mean."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.sft_core.data.formats.rows import ANSWER, CALL, FUNCTION, RESULT, TOOL, USER, conversation_of, read, reason

SHARED = Path(__file__).parents[5].parent / "shared" / "data" / "glaive_toolcall_en_demo.json"


def turn(speaker: Any, value: Any) -> dict[str, Any]:
    return {"from": speaker, "value": value}


@pytest.mark.parametrize(
    ("speaker", "role"),
    [
        ("human", "user"),
        ("user", "user"),
        ("gpt", "assistant"),
        ("assistant", "assistant"),
        ("model", "assistant"),
        ("bot", "assistant"),
        ("chatgpt", "assistant"),
        ("system", "system"),
        ("observation", "tool"),
        ("function", "tool"),
        ("tool", "tool"),
    ],
)
def test_a_speaker_is_a_role(speaker: str, role: str) -> None:
    assert conversation_of({"conversations": [turn(speaker, "x")]}).messages == ({"role": role, "content": "x"},)
    assert conversation_of({"conversations": [{"role": speaker, "content": "x"}]}).messages[0]["role"] == role


@pytest.mark.parametrize("value", [json.dumps(FUNCTION), json.dumps([FUNCTION]), FUNCTION])
def test_a_function_call_is_a_call_of_a_tool(value: Any) -> None:
    turns = [turn("human", "2+2?"), turn("function_call", value), turn("observation", "4"), turn("gpt", "4")]
    assert conversation_of({"conversations": turns}).messages == (USER, CALL, RESULT, ANSWER)


def test_one_turn_may_call_several_tools() -> None:
    calls = conversation_of({"conversations": [turn("function_call", json.dumps([FUNCTION] * 2))]}).messages[0]
    assert [call["function"]["name"] for call in calls["tool_calls"]] == ["add", "add"]


def test_turns_in_a_column_of_messages_are_turns() -> None:
    assert conversation_of({"messages": [turn("human", "2+2?"), turn("gpt", "4")]}).messages == (USER, ANSWER)


def test_a_turn_keeps_its_weight() -> None:
    turns = [turn("human", "2+2?"), {**turn("gpt", "4"), "weight": 0}]
    assert conversation_of({"conversations": turns}).messages[1] == {**ANSWER, "weight": 0}


def test_a_bare_tool_gets_its_envelope() -> None:
    row = {"conversations": [USER, ANSWER], "tools": '[{"name": "add"}]'}
    assert conversation_of(row).tools == (TOOL,)
    assert conversation_of({**row, "tools": [TOOL]}).tools == (TOOL,)


def test_an_unknown_speaker_is_refused_but_not_an_unknown_role() -> None:
    assert reason({"conversations": [turn("narrator", "x")]}) == "a turn in `conversations` is from nobody we know"
    assert conversation_of({"conversations": [{"role": "narrator", "content": "x"}]}).messages[0]["role"] == "narrator"


@pytest.mark.skipif(not SHARED.exists(), reason="the shared sample data is not beside the checkout")
def test_real_rows_with_calls_are_read_whole() -> None:
    conversations = [conversation_of(row) for row in json.loads(SHARED.read_text())]
    roles = [message["role"] for conversation in conversations for message in conversation.messages]
    calls = [message for c in conversations for message in c.messages if "tool_calls" in message]
    assert (len(conversations), len(calls), roles.count("tool"), roles.count("user")) == (300, 211, 211, 746)
    assert sum(conversation.tools is not None for conversation in conversations) == 191


def test_the_same_conversation_in_messages_has_the_same_identity() -> None:
    turns = [turn("human", "2+2?"), turn("function_call", json.dumps(FUNCTION)), turn("observation", "4")]
    theirs = read({"conversations": turns, "tools": '[{"name": "add"}]'})
    ours = read({"messages": [USER, CALL, RESULT], "tools": [TOOL]})
    assert (theirs.example_id, theirs.prompt_id, theirs.example) == (ours.example_id, ours.prompt_id, ours.example)
