"""Sources cut into shards of records, each with the digest of its content."""

import json
from pathlib import Path
from typing import Any

import pytest

from sft_core.errors import DataError
from sft_core.file_digests import FileDigests
from sft_core.records import StageOutcome
from sft_core.sources import SourceSpec, ingest, locate_sources
from sft_core.tables import iterate_rows

SEVEN = [{"text": f"row {number}"} for number in range(7)]


def write(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(folder: Path, *specs: SourceSpec) -> StageOutcome:
    """Ingest into `folder/out`."""
    out = folder / "out"
    out.mkdir(parents=True)
    return ingest(locate_sources(specs, FileDigests(folder / "digests.sqlite")), out)


def ingested(folder: Path, rows: list[Any], **spec: Any) -> list[dict[str, Any]]:
    """The records of one JSONL source."""
    run(folder, SourceSpec(path=str(write(folder / "train.jsonl", rows)), **spec))
    return [json.loads(row["record"]) for path in sorted((folder / "out").iterdir()) for row in iterate_rows(path)]


def shards(folder: Path, rows: list[Any], file_name: str = "train.jsonl", **spec: Any) -> list[dict[str, Any]]:
    source = SourceSpec(path=str(write(folder / file_name, rows)), **spec)
    return run(folder, source).facts["shards"]  # type: ignore[index]


def digests(folder: Path, rows: list[Any], file_name: str = "train.jsonl", **spec: Any) -> list[str]:
    return [shard["content_digest"] for shard in shards(folder, rows, file_name, **spec)]


def test_records_are_the_rows_with_their_numbers_and_lines(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "a"}\n\n{"text": "b"}\n')
    run(tmp_path, SourceSpec(path=str(tmp_path / "train.jsonl")))
    assert list(iterate_rows(tmp_path / "out" / "train-00000.arrow")) == [
        {"row": 0, "line": 1, "record": '{"text":"a"}'},
        {"row": 1, "line": 3, "record": '{"text":"b"}'},
    ]


def test_columns_that_only_some_rows_have_stay_with_those_rows(tmp_path: Path) -> None:
    rows = [
        {"text": "a", "tools": [{"x": 1}]},
        {"text": None},
        {"text": 3, "more": {"a": [1, "b", None]}},
        [1],
        "words",
        None,
    ]
    assert ingested(tmp_path, rows) == rows


def test_shards_are_cut_by_rows(tmp_path: Path) -> None:
    described = shards(tmp_path, SEVEN, shard_rows=3)
    assert [(shard["number"], shard["path"], shard["rows"]) for shard in described] == [
        (0, "train-00000.arrow", 3),
        (1, "train-00001.arrow", 3),
        (2, "train-00002.arrow", 1),
    ]
    assert [row["row"] for row in iterate_rows(tmp_path / "out" / "train-00001.arrow")] == [3, 4, 5]


def test_a_source_of_just_full_shards_has_no_empty_one(tmp_path: Path) -> None:
    assert [shard["rows"] for shard in shards(tmp_path, SEVEN[:6], shard_rows=3)] == [3, 3]


def test_the_files_of_a_source_are_numbered_through_and_lead_back(tmp_path: Path) -> None:
    for name, rows in (("b.jsonl", SEVEN[:2]), ("a.jsonl", SEVEN[2:5])):
        write(tmp_path / name, rows)
    facts = run(tmp_path, SourceSpec(path=str(tmp_path / "*.jsonl"), name="all", shard_rows=4)).facts or {}
    assert [(Path(file["path"]).name, file["first_row"], file["rows"]) for file in facts["files"]["all"]] == [
        ("a.jsonl", 0, 3),
        ("b.jsonl", 3, 2),
    ]
    assert [shard["rows"] for shard in facts["shards"]] == [4, 1]
    assert facts["rows_in"] == 5


def test_each_source_has_its_own_shards_and_split(tmp_path: Path) -> None:
    train, held_out = write(tmp_path / "train.jsonl", SEVEN), write(tmp_path / "test.jsonl", SEVEN[:1])
    facts = (
        run(tmp_path, SourceSpec(path=str(train), shard_rows=4), SourceSpec(path=str(held_out), split="eval")).facts
        or {}
    )
    assert [(shard["source"], shard["split"], shard["number"]) for shard in facts["shards"]] == [
        ("train", None, 0),
        ("train", None, 1),
        ("test", "eval", 0),
    ]


def test_the_same_rows_have_the_same_digest_in_any_folder_and_file(tmp_path: Path) -> None:
    original = digests(tmp_path / "a", SEVEN, shard_rows=3, name="x")
    assert digests(tmp_path / "b", SEVEN, "other.jsonl", shard_rows=3, name="x") == original


def test_the_same_rows_have_the_same_digest_in_another_format(tmp_path: Path) -> None:
    path = tmp_path / "b" / "train.txt"
    path.parent.mkdir()
    path.write_text("".join(row["text"] + "\n" for row in SEVEN))
    described = (run(tmp_path / "b", SourceSpec(path=str(path))).facts or {})["shards"]
    assert [shard["content_digest"] for shard in described] == digests(tmp_path / "a", SEVEN)


def test_appending_a_row_leaves_full_shards_alone(tmp_path: Path) -> None:
    before = digests(tmp_path / "a", SEVEN, shard_rows=3)
    after = digests(tmp_path / "b", [*SEVEN, {"text": "row 7"}], shard_rows=3)
    assert after[:2] == before[:2]
    assert after[2] != before[2]


def test_a_changed_row_changes_its_shard_only(tmp_path: Path) -> None:
    before = digests(tmp_path / "a", SEVEN, shard_rows=3)
    after = digests(tmp_path / "b", [*SEVEN[:4], {"text": "other"}, *SEVEN[5:]], shard_rows=3)
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]


def test_the_same_content_at_other_row_numbers_has_another_digest(tmp_path: Path) -> None:
    first, second = digests(tmp_path, [{"text": "same"}] * 4, shard_rows=2)
    assert first != second


def test_two_rows_are_not_one_row_of_both(tmp_path: Path) -> None:
    assert digests(tmp_path / "a", ["ab", "c"]) != digests(tmp_path / "b", ["a", "bc"])


def test_mapped_columns_get_our_names_and_others_stay(tmp_path: Path) -> None:
    columns = {"prompt": "question", "completion": "answer"}
    rows = ingested(tmp_path, [{"question": "2+2", "answer": "4", "id": 7}], columns=columns)
    assert rows == [{"prompt": "2+2", "completion": "4", "id": 7}]


def test_columns_can_change_places(tmp_path: Path) -> None:
    rows = ingested(
        tmp_path, [{"prompt": "a", "completion": "b"}], columns={"prompt": "completion", "completion": "prompt"}
    )
    assert rows == [{"prompt": "b", "completion": "a"}]


def test_a_mapped_column_takes_the_place_of_one_that_had_our_name(tmp_path: Path) -> None:
    assert ingested(tmp_path, [{"text": "short", "body": "long"}], columns={"text": "body"}) == [{"text": "long"}]


def test_a_mapped_column_may_be_missing_in_some_rows(tmp_path: Path) -> None:
    assert ingested(tmp_path, [{"body": "a"}, {"id": 1}, "words"], columns={"text": "body"}) == [
        {"text": "a"},
        {"id": 1},
        "words",
    ]


def test_a_mapped_column_that_no_row_has_is_an_error_that_lists_what_there_is(tmp_path: Path) -> None:
    expected = r"source 'train' .*: expected a column 'anser' as `columns` says, found only 'answer', 'question'"
    with pytest.raises(DataError, match=expected):
        ingested(tmp_path, [{"question": "a"}, {"answer": "b"}], columns={"prompt": "question", "completion": "anser"})


@pytest.mark.parametrize(
    ("name", "content"), [("train.jsonl", "\n \n"), ("train.json", "[]"), ("train.csv", "a,b\n"), ("train.txt", "\n")]
)
def test_a_source_without_a_row_is_an_error(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=rf"source 'train': no row in .*{name}"):
        run(tmp_path, SourceSpec(path=str(tmp_path / name)))


def test_a_row_that_is_nested_too_deeply_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("1\n" + "[" * 300 + "]" * 300 + "\n")
    with pytest.raises(DataError, match="source 'train', row 1: cannot be kept as JSON: Recursion limit"):
        run(tmp_path, SourceSpec(path=str(tmp_path / "train.jsonl")))


def test_a_csv_header_with_a_doubled_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("text,text\na,b\n")
    with pytest.raises(DataError, match=r"train.csv, line 1: .* found \['text'\] twice"):
        run(tmp_path / "out", SourceSpec(path=str(path)))
