"""Who an example is, and who its prompt: what changes an identity and what must not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.data.formats.identity import answer_index
from sft_core.data.formats.split import split_of
from sft_core.store.records import Conversation
from tests.sft_core.data.formats.rows import ANSWER, CALL, FUNCTION, RESULT, SYSTEM, TOOL, USER, Fields, read

CHAT: Fields = {"messages": [SYSTEM, USER, ANSWER]}
CALLING: Fields = {"messages": [USER, CALL, RESULT, ANSWER], "tools": [TOOL]}


@pytest.mark.parametrize(
    ("row", "same"),
    [
        ({"text": "a"}, "a"),
        ({"text": "a"}, {"text": "a", "id": 7}),
        ({"prompt": "a", "completion": "b"}, ["a", "b"]),
        ({"prompt": "a", "completion": "b"}, {"question": "a", "answer": "b", "split": "x"}),
        (CHAT, {"messages": json.dumps(CHAT["messages"])}),
        (CHAT, {"messages": [dict(reversed(message.items())) for message in CHAT["messages"]]}),
        (CHAT, {**CHAT, "tools": [], "chat_template_kwargs": None, "images": []}),
        (CHAT, {"system": "Be brief.", "conversations": [USER, ANSWER]}),
        (CALLING, {**CALLING, "tools": json.dumps([TOOL])}),
        (CALLING, {**CALLING, "messages": [USER, {"role": "assistant", "tool_calls": [FUNCTION]}, RESULT, ANSWER]}),
    ],
    ids=str,
)
def test_the_same_example_written_otherwise_has_the_same_identity(row: Any, same: Any) -> None:
    ours, theirs = read(json.dumps(row)), read(json.dumps(same))
    assert (ours.example_id, ours.prompt_id) == (theirs.example_id, theirs.prompt_id)


@pytest.mark.parametrize(
    "change",
    [
        {"tools": [TOOL]},
        {"chat_template_kwargs": {"a": 1}},
        {"images": ["a.jpg"]},
        {"messages": [SYSTEM, USER, {**ANSWER, "weight": 0}]},
        {"messages": [SYSTEM, USER, {**ANSWER, "content": "5"}]},
        {"messages": [SYSTEM, USER, {**ANSWER, "thinking": "2 and 2"}]},
        {"messages": [USER, ANSWER]},
    ],
    ids=str,
)
def test_what_would_train_otherwise_is_another_example(change: Fields) -> None:
    assert read({**CHAT, **change}).example_id != read(CHAT).example_id


@pytest.mark.parametrize(
    "change",
    [
        {"tools": [TOOL]},
        {"chat_template_kwargs": {"a": 1}},
        {"messages": [{**SYSTEM, "weight": 0}, {**USER, "train": False}, ANSWER]},
        {"messages": [SYSTEM, {**USER, "name": "ann", "created": 12}, ANSWER]},
        {"messages": [SYSTEM, USER, {**ANSWER, "content": "5", "weight": 2}]},
        {"messages": [SYSTEM, {"role": "user", "content": [{"type": "text", "text": "2+2?"}]}, ANSWER]},
    ],
    ids=str,
)
def test_what_asks_the_same_has_the_same_prompt(change: Fields) -> None:
    assert read({**CHAT, **change}).prompt_id == read(CHAT).prompt_id


@pytest.mark.parametrize(
    "row",
    [
        {"question": "2+2?", "answer": "four"},
        {"instruction": "2+2?", "output": "four"},
        {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "four"}]},
    ],
    ids=str,
)
def test_a_question_has_one_prompt_as_plain_text_and_as_a_message(row: Fields) -> None:
    assert read(row).prompt_id == read({"messages": [USER, ANSWER]}).prompt_id


@pytest.mark.parametrize(
    "change",
    [
        {"images": ["a.jpg"]},
        {"messages": [USER, ANSWER]},
        {"messages": [SYSTEM, {**USER, "content": "2+3?"}, ANSWER]},
        {"messages": [SYSTEM, {**USER, "role": "tool"}, ANSWER]},
        {"messages": [SYSTEM, USER, CALL, ANSWER]},
    ],
    ids=str,
)
def test_what_asks_something_else_has_another_prompt(change: Fields) -> None:
    assert read({**CHAT, **change}).prompt_id != read(CHAT).prompt_id


def test_rows_of_token_ids_share_a_prompt_up_to_their_first_target() -> None:
    one, other = ({"input_ids": [5, 6, last], "labels": [-100, -100, last]} for last in (7, 8))
    assert read(one).prompt_id == read(other).prompt_id
    assert read(one).example_id != read(other).example_id
    assert read({"input_ids": [5, 6, 7]}).prompt_id != read({"input_ids": [5, 6, 8]}).prompt_id


def test_the_end_of_a_text_and_images_are_no_matter_of_opinion() -> None:
    assert read({"text": 'a["b"]'}).example_id != read({"text": "a", "images": ["b"]}).example_id


@pytest.mark.parametrize(
    ("roles", "completion_index", "expected"),
    [("ua", None, 1), ("uaua", None, 3), ("uau", None, 1), ("u", None, 1), ("uaua", 1, 1), ("su", None, 2)],
)
def test_the_answer_is_the_completion_or_the_last_thing_the_assistant_says(
    roles: str, completion_index: int | None, expected: int
) -> None:
    names = {"u": "user", "a": "assistant", "s": "system"}
    messages = tuple({"role": names[role], "content": "x"} for role in roles)
    assert answer_index(Conversation(messages, completion_index)) == expected


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
ARGUMENTS = st.dictionaries(TEXTS, TEXTS | st.integers(-9, 9) | st.booleans(), max_size=3)
SPEAKERS = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}
SAID = st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(sorted(SPEAKERS)), TEXTS)
CALLED = st.lists(st.builds(lambda arguments: {"name": "f", "arguments": arguments}, ARGUMENTS), min_size=1, max_size=2)


def as_message(part: Any) -> Fields:
    """A message, or the functions that one calls."""
    if isinstance(part, dict):
        return part
    return {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": f} for f in part]}


def as_turn(part: Any) -> Fields:
    if isinstance(part, dict):
        return {"from": SPEAKERS[part["role"]], "value": part["content"]}
    return {"from": "function_call", "value": json.dumps(part)}


@given(parts=st.lists(SAID | CALLED, min_size=1, max_size=6), seed=st.integers(0, 99))
def test_messages_their_json_and_sharegpt_turns_are_one_example_on_one_side(parts: list[Any], seed: int) -> None:
    messages, turns = [as_message(part) for part in parts], [as_turn(part) for part in parts]
    rows = [
        {"messages": messages},
        {"messages": json.dumps(messages)},
        {"conversations": turns},
        {"conversations": json.dumps(turns)},
        {"messages": turns},
    ]
    found = [read(json.dumps(row)) for row in rows]
    assert len({(row.example_id, row.prompt_id, row.example) for row in found}) == 1
    assert len({split_of(row.prompt_id, 0.5, seed) for row in found}) == 1
