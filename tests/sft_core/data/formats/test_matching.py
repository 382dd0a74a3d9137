"""Which format a row is of, whatever stands before and after it."""

from typing import Any, get_args

import pytest

from sft_core.data.formats.config import DatasetFormat
from sft_core.data.formats.dialects import DIALECTS
from sft_core.data.formats.matching import match_dialect
from sft_core.store.records import Conversation, Example, TextExample, TokenExample
from tests.sft_core.data.formats.rows import ANSWER, CALL, SYSTEM, USER, example_of, format_of, reason

TURNS = [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]

ROWS: list[tuple[Any, str, Example]] = [
    ({"text": "words"}, "text", TextExample("", "words", has_prompt=False)),
    ("words", "text", TextExample("", "words", has_prompt=False)),
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
    ([USER, ANSWER], "messages", Conversation((USER, ANSWER))),
    ({"messages": [USER, CALL]}, "messages", Conversation((USER, CALL))),
    ({"conversations": TURNS}, "sharegpt", Conversation((USER, ANSWER))),
    ({"instruction": "2+2?", "output": "4"}, "alpaca", Conversation((USER, ANSWER), 1)),
    ({"question": "2+2=", "answer": "4"}, "question_answer", TextExample("2+2=", "4", has_prompt=True)),
    (["2+2=", "4"], "trlx", TextExample("2+2=", "4", has_prompt=True)),
    ({"input_ids": [5, 6]}, "tokenized", TokenExample((5, 6), (1, 1))),
]


@pytest.mark.parametrize(("row", "dialect", "example"), ROWS, ids=str)
def test_each_dialect_is_told_by_its_columns(row: Any, dialect: str, example: Example) -> None:
    assert (format_of(row), example_of(row)) == (dialect, example)


@pytest.mark.parametrize(("row", "dialect", "example"), ROWS, ids=str)
def test_a_named_format_reads_its_rows_as_auto_does(row: Any, dialect: str, example: Example) -> None:
    assert example_of(row, dataset_format=dialect) == example


def test_every_dialect_can_be_named_in_a_recipe() -> None:
    assert {"auto", *(dialect.name for dialect in DIALECTS)} == set(get_args(DatasetFormat))


def test_other_columns_do_not_matter() -> None:
    assert example_of({"id": 7, "text": "words", "lang": None, "meta": {"a": [1]}}) == example_of({"text": "words"})


def test_null_columns_are_as_good_as_absent() -> None:
    assert (
        format_of({"text": "words", "messages": None, "prompt": None, "completion": None, "input_ids": None}) == "text"
    )


@pytest.mark.parametrize(
    ("row", "dialect"),
    [
        ({"input_ids": [5], "text": "a", "messages": [USER, ANSWER]}, "tokenized"),
        ({"text": "<user>2+2?", "messages": [USER, ANSWER]}, "messages"),
        ({"prompt": "2+2?", "messages": [USER, ANSWER]}, "messages"),
        ({"instruction": "a", "output": "b", "text": "### a b"}, "alpaca"),
        ({"text": "a", "source": "wiki", "target": "b"}, "text"),
        ({"text": "a", "samples": ["b", "c"]}, "text"),
    ],
)
def test_a_row_that_fits_several_dialects_is_of_the_strongest(row: Any, dialect: str) -> None:
    assert format_of(row) == dialect


def test_a_named_format_takes_only_its_own_rows() -> None:
    both = {"text": "words", "messages": [USER, ANSWER]}
    assert format_of(both, dataset_format="text") == "text"
    assert format_of(both, dataset_format="messages") == "messages"
    assert reason({"text": "words"}, dataset_format="messages") == "not messages: expected `messages`"


def test_the_text_column_can_have_another_name() -> None:
    assert example_of({"content": "words"}, dataset_text_field="content") == example_of({"text": "words"})
    assert example_of("words", dataset_text_field="content") == example_of({"text": "words"})


def test_the_named_text_column_comes_before_one_called_text() -> None:
    row = {"content": "long", "text": "short"}
    assert example_of(row, dataset_text_field="content") == example_of({"text": "long"})


def test_a_claim_names_the_columns_that_decided_and_all_formats_that_fit() -> None:
    match = match_dialect(("id", "prompt", "completion", "text"), "auto")
    assert match is not None
    assert (match.dialect.name, match.columns) == ("prompt_completion", "`prompt`, `completion`")
    assert match.candidates == ("prompt_completion", "text")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, "columns (none) fit no known format"),
        ({"b": 1, "a": 2}, "columns `a`, `b` fit no known format"),
        (
            {f"c{n}": 1 for n in range(10)},
            "columns `c0`, `c1`, `c2`, `c3`, `c4`, `c5`, `c6`, `c7` and 2 more fit no known format",
        ),
        ({"prompt": "a"}, "`completion` is missing, needed for prompt_completion"),
        ({"prompt": "a", "response": None}, "`response` is null, needed for question_answer"),
        ({"prompt": None, "completion": None}, "`completion`, `prompt` are null, needed for prompt_completion"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "`completion` is missing, needed for prompt_completion"),
        ({"question": "a"}, "`answer` is missing, needed for question_answer"),
        ({"instruction": "a"}, "`output` is missing, needed for alpaca"),
        ({"messages": None}, "`messages` is null, needed for messages"),
        ({"input_ids": None}, "`input_ids` is null, needed for tokenized"),
    ],
    ids=str,
)
def test_a_row_of_no_format_is_told_what_it_lacks(row: Any, expected: str) -> None:
    assert reason(row) == expected


def test_a_null_text_column_of_another_name_is_called_by_a_reason() -> None:
    assert "fit no known format" in reason({"content": None}, dataset_text_field="content")
