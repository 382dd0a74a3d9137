"""Messages in their many spellings become one."""

import json
from typing import Any

import pytest

from tests.sft_core.data.formats.rows import ANSWER, CALL, FUNCTION, RESULT, SYSTEM, TOOL, USER, conversation_of, reason

IMAGE = {"type": "image_url", "image_url": {"url": "a.jpg"}}


def said(message: Any) -> Any:
    """What the second message of a conversation becomes."""
    return conversation_of({"messages": [USER, message]}).messages[1]


def test_messages_keep_what_a_template_may_read_but_no_nulls() -> None:
    message = {"role": "assistant", "content": "4", "thinking": "2 and 2", "name": None, "tool_calls": None, "x": 1}
    assert said(message) == {"role": "assistant", "content": "4", "thinking": "2 and 2", "x": 1}


@pytest.mark.parametrize("key", ["thinking", "reasoning_content", "name", "tool_call_id"])
def test_texts_beside_the_content_are_kept(key: str) -> None:
    assert said({**ANSWER, key: "words"}) == {**ANSWER, key: "words"}


@pytest.mark.parametrize("flag", [{"weight": 0}, {"weight": 0.5}, {"weight": 1}, {"train": True}, {"train": False}])
def test_weights_are_kept(flag: dict[str, Any]) -> None:
    assert said({**ANSWER, **flag}) == {**ANSWER, **flag}


@pytest.mark.parametrize("role", ["developer", "ipython", "critic"])
def test_any_role_is_left_to_the_template(role: str) -> None:
    assert said({"role": role, "content": "x"})["role"] == role


@pytest.mark.parametrize(
    "call",
    [
        {"function": {"name": "add", "arguments": {"a": 2}}},
        {"type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}},
        {"name": "add", "arguments": {"a": 2, "b": None}},
        {"function": {"name": "add", "arguments": {"a": 2, "city": None}}, "id": None},
    ],
)
def test_calls_of_tools_become_one_spelling(call: Any) -> None:
    assert said({"role": "assistant", "tool_calls": [call]}) == CALL


def test_the_old_spelling_of_a_call_is_read() -> None:
    assert said({"role": "assistant", "content": None, "function_call": FUNCTION}) == CALL


def test_a_call_keeps_its_id() -> None:
    call = said({"role": "assistant", "tool_calls": [{"id": "c1", "function": FUNCTION}]})["tool_calls"][0]
    assert call == {"id": "c1", "type": "function", "function": FUNCTION}


@pytest.mark.parametrize("arguments", [None, "", "{}", "null", {}])
def test_a_call_may_have_no_arguments(arguments: Any) -> None:
    call = said({"role": "assistant", "tool_calls": [{"function": {"name": "now", "arguments": arguments}}]})
    assert call["tool_calls"][0]["function"] == {"name": "now", "arguments": {}}


def test_nulls_inside_a_json_string_of_arguments_are_meant() -> None:
    call = said({"role": "assistant", "tool_calls": [{"name": "now", "arguments": '{"zone": null}'}]})
    assert call["tool_calls"][0]["function"]["arguments"] == {"zone": None}


def test_no_call_is_no_key() -> None:
    assert said({**ANSWER, "tool_calls": []}) == ANSWER


def test_parts_of_text_are_joined() -> None:
    parts = [{"type": "text", "text": "4", "image_url": None}, {"type": "text", "text": "2"}]
    assert said({"role": "assistant", "content": parts}) == {"role": "assistant", "content": "42"}


def test_parts_with_an_image_stay_parts() -> None:
    parts = [{**IMAGE, "text": None}, {"type": "text", "text": "Who?", "image_url": None}]
    assert said({"role": "user", "content": parts})["content"] == [IMAGE, {"type": "text", "text": "Who?"}]


@pytest.mark.parametrize("column", ["messages", "conversations"])
def test_a_list_may_be_a_json_string(column: str) -> None:
    messages = [SYSTEM, USER, CALL, RESULT, ANSWER]
    assert conversation_of({column: json.dumps(messages)}) == conversation_of({column: messages})


@pytest.mark.parametrize(
    "row",
    [
        {"system": "Be brief.", "messages": [USER, ANSWER]},
        {"system": "Be brief.", "conversations": [USER, ANSWER]},
        {"system_prompt": "Be brief.", "messages": [USER, ANSWER]},
        {"system": "Be long.", "messages": [SYSTEM, USER, ANSWER]},
    ],
)
def test_a_system_column_comes_first_unless_the_messages_have_their_own(row: Any) -> None:
    assert conversation_of(row).messages == (SYSTEM, USER, ANSWER)


def test_a_system_column_moves_the_completion() -> None:
    assert conversation_of({"system": "S", "prompt": [USER], "completion": [ANSWER]}).completion_index == 2


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([TOOL], (TOOL,)),
        (json.dumps([TOOL]), (TOOL,)),
        ([{**TOOL, "strict": None}], (TOOL,)),
        ('[{"name": "add", "default": null}]', ({"name": "add", "default": None},)),
        (None, None),
        ([], None),
        ("[]", None),
        ("null", None),
        (" ", None),
    ],
)
def test_tools_are_a_list_or_its_json(column: Any, expected: Any) -> None:
    assert conversation_of({"messages": [USER, ANSWER], "tools": column}).tools == expected


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ({"enable_thinking": False}, {"enable_thinking": False}),
        ('{"enable_thinking": false}', {"enable_thinking": False}),
        ({"enable_thinking": False, "effort": None}, {"enable_thinking": False}),
        ({"effort": None}, None),
        ({}, None),
        ("", None),
        (None, None),
    ],
)
def test_arguments_of_the_template_are_an_object_or_its_json(column: Any, expected: Any) -> None:
    row = {"prompt": [USER], "completion": [ANSWER], "chat_template_kwargs": column}
    assert conversation_of(row).chat_template_kwargs == expected


def test_a_conversation_in_which_nothing_is_said_is_refused() -> None:
    blank = [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}]
    assert reason({"messages": blank}) == "nothing is said in the conversation"
