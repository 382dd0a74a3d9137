"""Detection over a shard: every row comes out as an example or as a rejection."""

import tempfile
from pathlib import Path
from typing import Any, Literal

import orjson
from hypothesis import given
from hypothesis import strategies as st

from sft_core.formats import FormatsConfig, detect
from sft_core.ledger import Rejection, read_rejections
from sft_core.records import RECORDS, ShardRef, StageOutcome
from sft_core.tables import iterate_rows, write_table


def run(folder: Path, rows: list[Any], split: Literal["train", "eval"] | None = None, **config: Any) -> StageOutcome:
    """Detect the format of rows; the stage's files lie in `folder`."""
    records = [
        {"row": 10 + number, "line": 20 + number, "record": orjson.dumps(row).decode()}
        for number, row in enumerate(rows)
    ]
    write_table(folder / "records.arrow", RECORDS, records)
    shard = ShardRef(source="train", split=split, number=0, path="records.arrow", rows=len(rows), content_digest="d")
    return detect(FormatsConfig(**config), shard, folder / "records.arrow", folder)


def examples(folder: Path) -> list[dict[str, Any]]:
    return list(iterate_rows(folder / "examples.arrow"))


def test_rows_of_several_formats_may_stand_in_one_source(tmp_path: Path) -> None:
    rows = [{"text": "a"}, {"prompt": "b", "completion": "c"}, {"text": "d"}, {"oops": 1}]
    outcome = run(tmp_path, rows)
    assert outcome.facts == {"source": "train", "formats": {"text": 2, "prompt_completion": 1}}
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


def test_rows_that_are_no_objects_are_rejected(tmp_path: Path) -> None:
    outcome = run(tmp_path, [1, "text", None, [{"text": "a"}], True])
    assert outcome.ledger is not None
    assert outcome.ledger.rejected_by_reason == {"the row is not an object of columns": 5}


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


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
COLUMNS = [
    "text",
    "prompt",
    "completion",
    "messages",
    "instruction",
    "output",
    "input",
    "history",
    "system",
    "tools",
    "chat_template_kwargs",
]
MESSAGES = st.lists(
    st.dictionaries(
        st.sampled_from(["role", "content", "tool_calls", "name"]),
        SCALARS | st.sampled_from(["user", "assistant"]),
        max_size=3,
    )
    | SCALARS,
    max_size=3,
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
ROWS = st.lists(
    JSON | st.dictionaries(st.sampled_from(COLUMNS), JSON | MESSAGES | st.text(min_size=1, max_size=9), max_size=5),
    max_size=12,
)


@given(rows=ROWS, eval_fraction=st.sampled_from([0.0, 0.5]))
def test_every_row_of_any_json_is_an_example_or_a_rejection(rows: list[Any], eval_fraction: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder), rows, eval_fraction=eval_fraction)
        kept, rejected = examples(Path(folder)), read_rejections(Path(folder) / "rejected.jsonl")
    assert sorted([row["row"] for row in kept] + [rejection.row for rejection in rejected]) == list(
        range(10, 10 + len(rows))
    )
    assert outcome.ledger is not None
    splits = [row["split"] for row in kept]
    assert (outcome.ledger.rows_train, outcome.ledger.rows_eval) == (splits.count("train"), splits.count("eval"))
    assert outcome.ledger.rows_rejected == len(rejected)
    assert all(rejection.reason for rejection in rejected)
