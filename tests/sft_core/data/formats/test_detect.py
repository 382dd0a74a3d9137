"""Detection over a shard: every row comes out as an example, as a rejection, or is left out as the recipe says."""

import json
import tempfile
from pathlib import Path
from typing import Any, Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.data.formats import FormatsConfig, detect
from sft_core.data.transform import locate_transform
from sft_core.store.ledger import Rejection, read_rejections
from sft_core.store.records import EXAMPLES, RECORDS, FunctionRef, Selection, ShardRef, StageOutcome
from sft_core.store.tables import iterate_rows, read_table, write_table
from tests.sft_core.data.formats.rows import ANSWER, USER

from ..one_row import is_selected


def detect_records(
    folder: Path,
    records: list[str],
    split: Literal["train", "eval"] | None = None,
    selection: Selection | None = None,
    transform: FunctionRef | None = None,
    **config: Any,
) -> StageOutcome:
    """Detect the format of records given as text; the stage's files lie in `folder`."""
    rows = [{"row": 10 + number, "line": 20 + number, "record": record} for number, record in enumerate(records)]
    write_table(folder / "records.arrow", RECORDS, rows)
    shard = ShardRef(
        source="train",
        split=split,
        number=0,
        path="records.arrow",
        rows=len(rows),
        content_digest="d",
        selection=selection,
        transform=transform,
    )
    return detect(FormatsConfig(**config), shard, folder / "records.arrow", folder)


def run(folder: Path, rows: list[Any], **options: Any) -> StageOutcome:
    """Detect the format of rows."""
    return detect_records(folder, [orjson.dumps(row).decode() for row in rows], **options)


def examples(folder: Path) -> list[dict[str, Any]]:
    return list(iterate_rows(folder / "examples.arrow"))


def test_rows_of_several_formats_may_stand_in_one_source(tmp_path: Path) -> None:
    rows = [{"text": "a"}, {"prompt": "b", "completion": "c"}, {"text": "d"}, {"oops": 1}]
    outcome = run(tmp_path, rows)
    assert outcome.facts is not None
    assert (outcome.facts["source"], outcome.facts["formats"]) == ("train", {"text": 2, "prompt_completion": 1})
    assert [(row["row"], row["line"], row["format"]) for row in examples(tmp_path)] == [
        (10, 20, "text"),
        (11, 21, "prompt_completion"),
        (12, 22, "text"),
    ]


def test_a_rejection_leads_back_to_its_row(tmp_path: Path) -> None:
    outcome = run(tmp_path, [{"text": "a"}, {"text": ""}])
    (rejection,) = read_rejections(tmp_path / "rejected.jsonl")
    expected = Rejection(
        source="train", row=11, line=21, stage="detect_formats", reason="`text` is empty", excerpt='{"text":""}'
    )
    assert rejection == expected
    assert outcome.ledger is not None
    assert (outcome.ledger.rows_in, outcome.ledger.rows_train, outcome.ledger.rejected_by_reason) == (
        2,
        1,
        {"`text` is empty": 1},
    )


def test_the_split_of_a_source_holds_for_all_its_rows(tmp_path: Path) -> None:
    ledger = run(tmp_path, [{"text": str(number)} for number in range(20)], split="eval").ledger
    assert ledger is not None
    assert (ledger.rows_train, ledger.rows_eval) == (0, 20)


def test_a_source_of_the_train_split_holds_nothing_out(tmp_path: Path) -> None:
    ledger = run(tmp_path, [{"text": str(number)} for number in range(20)], split="train", eval_fraction=0.9).ledger
    assert ledger is not None
    assert (ledger.rows_train, ledger.rows_eval) == (20, 0)


def test_examples_survive_as_they_were(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "ß \U0001f600"}, {"role": "assistant", "content": "4"}]
    run(tmp_path, [{"messages": messages, "tools": [{"name": "add"}]}])
    example = orjson.loads(examples(tmp_path)[0]["example"])
    assert (example["messages"], example["tools"], example["completion_index"]) == (messages, [{"name": "add"}], None)


def test_the_table_has_its_columns_even_without_rows(tmp_path: Path) -> None:
    run(tmp_path, [])
    assert read_table(tmp_path / "examples.arrow").schema == EXAMPLES


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"images": ["a.jpg", {"bytes": "aGk=", "path": None}]}, ["a.jpg", {"bytes": "aGk="}]),
        ({"image": "a.jpg"}, ["a.jpg"]),
        ({"image": {"bytes": "aGk="}}, [{"bytes": "aGk="}]),
        ({"images": []}, None),
        ({"images": None}, None),
        ({}, None),
    ],
)
def test_images_pass_through_by_what_they_are_called(tmp_path: Path, columns: dict[str, Any], expected: Any) -> None:
    run(tmp_path, [{"messages": [USER, ANSWER], **columns}])
    images = examples(tmp_path)[0]["images"]
    assert (None if images is None else orjson.loads(images)) == expected


def test_every_example_has_its_identity(tmp_path: Path) -> None:
    run(tmp_path, [{"text": "a"}, {"messages": [USER, ANSWER]}, {"text": "a", "id": 3}])
    first, other, again = ((row["example_id"], row["prompt_id"]) for row in examples(tmp_path))
    assert first == again
    assert not set(first) & set(other)


HALF = Selection(seed=7, below=2**63)


def test_rows_that_are_not_selected_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [{"text": str(number)} for number in range(100)] + [{"oops": number} for number in range(100)]
    ledger = run(tmp_path, rows, selection=HALF).ledger
    assert ledger is not None
    selected = [10 + n for n, row in enumerate(rows) if is_selected(HALF, 10 + n, orjson.dumps(row).decode())]
    kept = [row["row"] for row in examples(tmp_path)]
    assert kept == [row for row in selected if row < 110]
    assert ledger.rows_left_out == 200 - len(selected)
    assert (ledger.rows_in, ledger.rows_train + ledger.rows_rejected) == (200, len(selected))


MODULE = """
def shout(row):
    return {"text": row["words"].upper()}

def as_text(row):
    return row["words"]

def without_b(row):
    return None if row["words"] == "b" else {"text": row["words"]}

def columns(row):
    return " ".join(row)

def a_set(row):
    return {"text": {1, 2}}
"""


def transform(folder: Path, function: str) -> FunctionRef:
    """A function of a module of the user's."""
    (folder / "my_rows.py").write_text(MODULE)
    return locate_transform(f"{folder}/my_rows.py:{function}")


@pytest.mark.parametrize(
    ("function", "texts", "left_out", "rejected"),
    [
        ("shout", ["A", "B"], 0, {}),
        ("as_text", ["a", "b"], 0, {}),
        ("without_b", ["a"], 1, {}),
        ("a_set", [], 0, {"the transform returned what cannot be kept as JSON: Type is not JSON serializable: set": 2}),
    ],
)
def test_rows_are_what_the_transform_makes_of_them(
    tmp_path: Path, function: str, texts: list[str], left_out: int, rejected: dict[str, int]
) -> None:
    ledger = run(tmp_path, [{"words": "a"}, {"words": "b"}], transform=transform(tmp_path, function)).ledger
    assert ledger is not None
    assert [orjson.loads(row["example"])["completion"] for row in examples(tmp_path)] == texts
    assert (ledger.rows_in, ledger.rows_left_out, ledger.rejected_by_reason) == (2, left_out, rejected)


def test_a_transform_that_fails_rejects_the_row(tmp_path: Path) -> None:
    rows = [{"words": "a"}, {"oops": "b"}, {"words": 3}]
    ledger = run(tmp_path, rows, transform=transform(tmp_path, "shout")).ledger
    assert ledger is not None
    assert (ledger.rows_train, ledger.rows_rejected) == (1, 2)
    assert sorted(reason.split()[-1] for reason in ledger.rejected_by_reason) == ["AttributeError", "KeyError"]


def test_a_transform_gets_a_dictionary_even_for_a_bare_row(tmp_path: Path) -> None:
    ledger = run(tmp_path, ["a", [USER, ANSWER], 3], transform=transform(tmp_path, "columns")).ledger
    assert [orjson.loads(row["example"])["completion"] for row in examples(tmp_path)] == ["text", "messages"]
    assert ledger is not None
    assert ledger.rows_rejected == 1


SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)
SURROGATES = st.text(st.characters(categories=["Cs", "L", "Cc"]), max_size=4)
COLUMNS = [
    *("text", "prompt", "completion", "messages", "conversations", "instruction", "output", "input", "history"),
    *("system", "tools", "chat_template_kwargs", "question", "answer", "samples", "images"),
    *("input_ids", "labels", "completion_mask", "assistant_masks", "attention_mask"),
]
KEYS = ["role", "content", "from", "value", "tool_calls", "function_call", "name", "weight", "train", "type", "text"]
WORDS = st.sampled_from(["user", "assistant", "gpt", "function_call", "text", "[]", "{}", '[{"role": "user"}]', "[{"])
MESSAGES = st.lists(st.dictionaries(st.sampled_from(KEYS), SCALARS | WORDS, max_size=4) | SCALARS, max_size=3)
JSON = st.recursive(
    SCALARS | SURROGATES | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | SURROGATES, inner, max_size=3),
    max_leaves=6,
)
ROWS = st.lists(
    JSON | st.dictionaries(st.sampled_from(COLUMNS), JSON | MESSAGES | st.lists(st.integers(-100, 9)), max_size=5),
    max_size=12,
)


@given(rows=ROWS, eval_fraction=st.sampled_from([0.0, 0.5]))
def test_every_row_of_any_json_is_an_example_or_a_rejection(rows: list[Any], eval_fraction: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        records = [json.dumps(row) for row in rows]
        outcome = detect_records(Path(folder), records, eval_fraction=eval_fraction)
        kept, rejected = examples(Path(folder)), read_rejections(Path(folder) / "rejected.jsonl")
    places = [row["row"] for row in kept] + [rejection.row for rejection in rejected]
    assert sorted(places) == list(range(10, 10 + len(rows)))
    assert outcome.ledger is not None
    splits = [row["split"] for row in kept]
    assert (outcome.ledger.rows_train, outcome.ledger.rows_eval) == (splits.count("train"), splits.count("eval"))
    assert outcome.ledger.rows_rejected == len(rejected)
    assert all(rejection.reason for rejection in rejected)
