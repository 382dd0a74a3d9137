"""Each dialect: what its rows become, and for which reason a row is refused."""

from typing import Any

import pytest

from sft_core.formats import FormatsConfig, describe_verdict
from sft_core.formats.detect import example_from_row
from sft_core.formats.dialects import DIALECTS, RowRejectedError
from sft_core.records import Conversation, Example, TextExample

Fields = dict[str, Any]

USER = {"role": "user", "content": "2+2?"}
ANSWER = {"role": "assistant", "content": "4"}
SYSTEM = {"role": "system", "content": "Be brief."}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "add", "arguments": {"a": 2}}}]}
TOOL = {"type": "function", "function": {"name": "add"}}


def read(fields: Fields, **config: Any) -> tuple[str, Example]:
    dialect, example = example_from_row(fields, FormatsConfig(**config))
    return dialect.name, example


def reason(fields: Fields, **config: Any) -> str:
    with pytest.raises(RowRejectedError) as caught:
        read(fields, **config)
    return str(caught.value)


@pytest.mark.parametrize(
    ("fields", "dialect", "example"),
    [
        ({"text": "words"}, "text", TextExample("", "words", has_prompt=False)),
        ({"prompt": "2+2=", "completion": "4"}, "prompt_completion", TextExample("2+2=", "4", has_prompt=True)),
        ({"prompt": "", "completion": "4"}, "prompt_completion", TextExample("", "4", has_prompt=True)),
        ({"prompt": "2+2=", "completion": ""}, "prompt_completion", TextExample("2+2=", "", has_prompt=True)),
        ({"prompt": [USER], "completion": [ANSWER]}, "prompt_completion", Conversation((USER, ANSWER), 1)),
        (
            {"prompt": [SYSTEM, USER], "completion": [ANSWER, USER, ANSWER]},
            "prompt_completion",
            Conversation((SYSTEM, USER, ANSWER, USER, ANSWER), 2),
        ),
        ({"messages": [USER, ANSWER]}, "messages", Conversation((USER, ANSWER))),
        ({"messages": [USER, CALL]}, "messages", Conversation((USER, CALL))),
        ({"instruction": "2+2?", "output": "4"}, "alpaca", Conversation((USER, ANSWER), 1)),
    ],
)
def test_each_dialect_is_told_by_its_columns(fields: Fields, dialect: str, example: Example) -> None:
    assert read(fields) == (dialect, example)


def test_other_columns_do_not_matter() -> None:
    assert read({"id": 7, "text": "words", "lang": None, "meta": {"a": [1]}}) == read({"text": "words"})


def test_a_row_with_messages_and_their_rendering_is_a_conversation() -> None:
    assert read({"text": "<user>2+2?", "messages": [USER, ANSWER]})[0] == "messages"


def test_null_columns_are_as_good_as_absent() -> None:
    assert read({"text": "words", "messages": None, "prompt": None, "completion": None})[0] == "text"


def test_messages_keep_what_a_template_may_read_but_no_nulls() -> None:
    message = {"role": "assistant", "content": "4", "thinking": "2 and 2", "name": None, "tool_calls": None}
    _, example = read({"messages": [USER, message]})
    assert isinstance(example, Conversation)
    assert example.messages[1] == {"role": "assistant", "content": "4", "thinking": "2 and 2"}


def test_a_tool_call_keeps_its_null_content() -> None:
    _, example = read({"messages": [USER, CALL]})
    assert isinstance(example, Conversation)
    assert "content" in example.messages[1]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([TOOL], (TOOL,)),
        ('[{"type": "function", "function": {"name": "add"}}]', (TOOL,)),
        (None, None),
        ([], None),
        ("[]", None),
        ("null", None),
    ],
)
def test_tools_are_a_list_or_its_json(column: Any, expected: Any) -> None:
    _, example = read({"messages": [USER, ANSWER], "tools": column})
    assert isinstance(example, Conversation)
    assert example.tools == expected


@pytest.mark.parametrize(
    ("column", "expected"), [({"enable_thinking": False}, {"enable_thinking": False}), ({}, None), (None, None)]
)
def test_arguments_of_the_template_are_kept(column: Any, expected: Any) -> None:
    _, example = read({"prompt": [USER], "completion": [ANSWER], "chat_template_kwargs": column})
    assert isinstance(example, Conversation)
    assert example.chat_template_kwargs == expected


@pytest.mark.parametrize(
    ("more", "contents"),
    [
        ({}, ["Add", "5"]),
        ({"input": "2 and 3"}, ["Add\n2 and 3", "5"]),
        ({"input": ""}, ["Add", "5"]),
        ({"input": None, "system": None, "history": None}, ["Add", "5"]),
        ({"system": "Be brief."}, ["Be brief.", "Add", "5"]),
        ({"history": [["1+1?", "2"], ["2+2?", "4"]]}, ["1+1?", "2", "2+2?", "4", "Add", "5"]),
        ({"system": "S", "history": [["a", "b"]], "input": "i"}, ["S", "a", "b", "Add\ni", "5"]),
    ],
)
def test_alpaca_becomes_a_conversation_whose_last_answer_is_the_completion(more: Fields, contents: list[str]) -> None:
    _, example = read({"instruction": "Add", "output": "5", **more})
    assert isinstance(example, Conversation)
    assert [message["content"] for message in example.messages] == contents
    assert example.completion_index == len(contents) - 1


def test_alpaca_roles_follow_the_turns() -> None:
    _, example = read({"instruction": "Add", "output": "5", "system": "S", "history": [["a", "b"]]})
    assert isinstance(example, Conversation)
    assert [message["role"] for message in example.messages] == ["system", "user", "assistant", "user", "assistant"]


def test_an_alpaca_instruction_may_be_in_the_input_alone() -> None:
    _, example = read({"instruction": "", "input": "2+2?", "output": "4"})
    assert example == Conversation((USER, ANSWER), 1)


def test_the_text_column_can_have_another_name() -> None:
    assert read({"content": "words"}, dataset_text_field="content") == (
        "text",
        TextExample("", "words", has_prompt=False),
    )


def test_the_named_text_column_comes_before_one_called_text() -> None:
    assert read({"content": "long", "text": "short"}, dataset_text_field="content") == read({"text": "long"})


def test_a_named_format_takes_only_its_own_rows() -> None:
    both = {"text": "words", "messages": [USER, ANSWER]}
    assert read(both, dataset_format="text")[0] == "text"
    assert read(both, dataset_format="messages")[0] == "messages"
    assert reason({"text": "words"}, dataset_format="alpaca") == "not alpaca: expected `instruction`, `output`"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "columns (none) fit no known format"),
        ({"b": 1, "a": 2}, "columns `a`, `b` fit no known format"),
        ({"text": None}, "`text` is null, needed for text"),
        ({"text": ""}, "`text` is empty"),
        ({"text": 3}, "`text` is a number, not text"),
        ({"text": True}, "`text` is a boolean, not text"),
        ({"text": ["a"]}, "`text` is a list, not text"),
        ({"text": {"a": 1}}, "`text` is an object, not text"),
        ({"prompt": "a"}, "`completion` is missing, needed for prompt_completion"),
        ({"prompt": "a", "completion": None}, "`completion` is null, needed for prompt_completion"),
        ({"prompt": None, "completion": None}, "`completion`, `prompt` are null, needed for prompt_completion"),
        ({"prompt": "", "completion": ""}, "`prompt` and `completion` are both empty"),
        ({"prompt": 1, "completion": "b"}, "`prompt` is a number, not text"),
        ({"prompt": "a", "completion": {"b": 1}}, "`completion` is an object, not text"),
        ({"prompt": [USER], "completion": "4"}, "`completion` is text, not a list of messages"),
        ({"prompt": "2+2?", "completion": [ANSWER]}, "`prompt` is text, not a list of messages"),
        ({"prompt": [USER], "completion": []}, "`completion` is empty"),
        ({"messages": None}, "`messages` is null, needed for messages"),
        ({"messages": []}, "`messages` is empty"),
        ({"messages": "[{}]"}, "`messages` is text, not a list of messages"),
        ({"messages": {"role": "user"}}, "`messages` is an object, not a list of messages"),
        ({"messages": ["hi"]}, "a message in `messages` is text, not an object"),
        ({"messages": [None]}, "a message in `messages` is null, not an object"),
        ({"messages": [{"content": "hi"}]}, "a message in `messages` has no `role`"),
        ({"messages": [{"role": "", "content": "hi"}]}, "a message in `messages` has no `role`"),
        ({"messages": [{"role": 1, "content": "hi"}]}, "a message in `messages` has no `role`"),
        ({"messages": [{"from": "human", "value": "hi"}]}, "a message in `messages` has no `role`"),
        ({"messages": [USER, {"role": "assistant"}]}, "a message in `messages` has neither `content` nor `tool_calls`"),
        (
            {"messages": [USER, {**CALL, "tool_calls": []}]},
            "a message in `messages` has neither `content` nor `tool_calls`",
        ),
        ({"messages": [{"role": "user", "content": 4}]}, "`content` of a message in `messages` is a number, not text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "`content` of a message in `messages` is a list, not text",
        ),
        ({"messages": [USER], "tools": "[{"}, "`tools` is a string but not JSON"),
        ({"messages": [USER], "tools": 5}, "`tools` is not a list of objects"),
        ({"messages": [USER], "tools": ["add"]}, "`tools` is not a list of objects"),
        ({"messages": [USER], "tools": '{"a": 1}'}, "`tools` is not a list of objects"),
        ({"messages": [USER], "chat_template_kwargs": "x"}, "`chat_template_kwargs` is not an object"),
        ({"instruction": "a"}, "`output` is missing, needed for alpaca"),
        ({"instruction": "a", "output": None}, "`output` is null, needed for alpaca"),
        ({"instruction": "", "output": "b"}, "`instruction` is empty"),
        ({"instruction": "a", "output": 4}, "`output` is a number, not text"),
        ({"instruction": "a", "output": "b", "input": 4}, "`input` is a number, not text"),
        ({"instruction": "a", "output": "b", "system": ["s"]}, "`system` is a list, not text"),
        (
            {"instruction": "a", "output": "b", "history": "h"},
            "`history` is not a list of [request, answer] pairs of text",
        ),
        (
            {"instruction": "a", "output": "b", "history": [["q"]]},
            "`history` is not a list of [request, answer] pairs of text",
        ),
        (
            {"instruction": "a", "output": "b", "history": [["q", None]]},
            "`history` is not a list of [request, answer] pairs of text",
        ),
    ],
    ids=str,
)
def test_a_row_is_refused_with_a_reason(fields: Fields, expected: str) -> None:
    assert reason(fields) == expected


def test_a_null_text_column_of_another_name_is_called_by_a_reason() -> None:
    assert "fit no known format" in reason({"content": None}, dataset_text_field="content")


def test_every_dialect_describes_itself() -> None:
    verdict = describe_verdict({dialect.name: 1000 + number for number, dialect in enumerate(DIALECTS)}, 2)
    assert verdict.startswith("1,003 rows are text (language modelling: `text`); 1,002 rows are alpaca (Alpaca:")
    assert verdict.endswith("; 2 rows rejected")
    assert describe_verdict({}, 0) == "no rows"
