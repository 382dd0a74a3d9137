"""Pieces turned into shards of records, and shards put together to sources."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from sft_core.data.selection import are_selected, select_rows
from sft_core.data.sources import SourceSpec, ingest, ingest_all, locate_sources
from sft_core.errors import DataError
from sft_core.store.file_digests import FileDigests
from sft_core.store.tables import read_table
from tests.full_size import IS_FULL

from .files import AS_FILE, COMPRESS, as_jsonl, as_parquet, locate, records_of, shards_of, values_of, write

SEVEN = [{"text": f"row {number}"} for number in range(7)]


def digests(path: Path, rows: list[Any], **spec: Any) -> list[str]:
    return [shard.content_digest for shard in shards_of(write(path, as_jsonl(rows)), **spec)[1]]


def test_records_are_the_rows_as_they_stand_with_numbers_and_lines(tmp_path: Path) -> None:
    assert records_of(write(tmp_path / "x.jsonl", '{"text":  "a"}\n\n{"text": "b"}\n')) == [
        {"row": 0, "line": 1, "record": '{"text":  "a"}'},
        {"row": 1, "line": 3, "record": '{"text": "b"}'},
    ]


def test_columns_that_only_some_rows_have_stay_with_those_rows(tmp_path: Path) -> None:
    rows = [{"text": "a", "tools": [{"x": 1}]}, {"text": None}, {"more": {"a": [1, "b", None]}}, [1], "words", None]
    assert values_of(write(tmp_path / "x.jsonl", as_jsonl(rows))) == rows


def test_rows_that_moved_to_other_lines_are_another_content_because_rejections_name_lines(tmp_path: Path) -> None:
    shard, moved = (
        shards_of(write(tmp_path / name, before + as_jsonl(SEVEN)))[1][0]
        for name, before in (("x.jsonl", b""), ("y.jsonl", b"\n\n"))
    )
    assert shard.content_digest != moved.content_digest


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "parquet"])
def test_shards_are_cut_by_rows_and_numbered_through(tmp_path: Path, ending: str) -> None:
    content = {"jsonl": as_jsonl(SEVEN), "jsonl.gz": COMPRESS[".gz"](as_jsonl(SEVEN)), "parquet": as_parquet(SEVEN)}
    root, shards = shards_of(write(tmp_path / f"x.{ending}", content[ending]), shard_rows=3)
    assert [(shard.name, shard.rows) for shard in shards] == [
        ("train-00000", 3),
        ("train-00001", 3),
        ("train-00002", 1),
    ]
    assert read_table(shards[1].arrow_file(root))["row"].to_pylist() == [3, 4, 5]


def test_a_source_of_just_full_shards_has_no_empty_one(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", as_jsonl(SEVEN[:6]))
    assert [shard.rows for shard in shards_of(path, shard_rows=3)[1]] == [3, 3]


def test_rows_are_numbered_in_their_file_and_the_shard_names_it(tmp_path: Path) -> None:
    for name, rows in (("b.jsonl", SEVEN[:2]), ("a/c.jsonl", SEVEN[2:5]), ("a/blank.jsonl", [])):
        write(tmp_path / "in" / name, as_jsonl(rows) + b"\n")
    root, shards = shards_of(tmp_path / "in", shard_rows=2)
    assert [(shard.file, shard.number, shard.rows) for shard in shards] == [
        ("a/c.jsonl", 0, 2),
        ("a/c.jsonl", 1, 1),
        ("b.jsonl", 0, 2),
    ]
    numbers = [read_table(shard.arrow_file(root))["row"].to_pylist() for shard in shards]
    assert numbers == [[0, 1], [2], [0, 1]]


def test_each_source_has_its_own_shards_and_settings(tmp_path: Path, file_digests: FileDigests) -> None:
    train, held_out = write(tmp_path / "train.jsonl", as_jsonl(SEVEN)), write(tmp_path / "test.jsonl", as_jsonl(SEVEN))
    specs = (
        SourceSpec(path=str(train), shard_rows=4, repeat=2.5),
        SourceSpec(path=str(held_out), split="eval", fraction=0.25, seed=7),
    )
    shards = ingest_all(locate_sources(specs, file_digests), tmp_path / "root")
    assert [(shard.source, shard.split, shard.number, shard.repeat) for shard in shards] == [
        ("train", None, 0, 2.5),
        ("train", None, 1, 2.5),
        ("test", "eval", 0, 1.0),
    ]
    assert [shard.selection and (shard.selection.seed, shard.selection.below) for shard in shards] == [
        None,
        None,
        (7, 1 << 62),
    ]


def test_the_same_rows_have_the_same_digest_wherever_they_are_cut_from(tmp_path: Path) -> None:
    original = digests(tmp_path / "a.jsonl", SEVEN, shard_rows=3)
    assert digests(tmp_path / "elsewhere" / "b.jsonl", SEVEN, shard_rows=3, name="other") == original
    archive = write(tmp_path / "c.jsonl.xz", COMPRESS[".xz"](as_jsonl(SEVEN)))
    assert [shard.content_digest for shard in shards_of(archive, shard_rows=3)[1]] == original


def test_appending_a_row_leaves_full_shards_alone(tmp_path: Path) -> None:
    before = digests(tmp_path / "a.jsonl", SEVEN, shard_rows=3)
    after = digests(tmp_path / "b.jsonl", [*SEVEN, {"text": "row 7"}], shard_rows=3)
    assert after[:2] == before[:2]
    assert after[2] != before[2]


def test_the_same_content_at_other_row_numbers_has_another_digest(tmp_path: Path) -> None:
    first, second = digests(tmp_path / "a.jsonl", [{"text": "same"}] * 4, shard_rows=2)
    assert first != second


def test_two_rows_are_not_one_row_of_both(tmp_path: Path) -> None:
    assert digests(tmp_path / "a.jsonl", ["ab", "c"]) != digests(tmp_path / "b.jsonl", ["a", "bc"])


@pytest.mark.parametrize(
    ("columns", "row", "expected"),
    [
        (
            {"prompt": "q", "completion": "a"},
            {"q": "2+2", "a": "4", "id": 7},
            {"id": 7, "prompt": "2+2", "completion": "4"},
        ),
        ({"a": "b", "b": "a"}, {"a": 1, "b": 2}, {"a": 2, "b": 1}),
        ({"text": "body"}, {"text": "short", "body": "long"}, {"text": "long"}),
    ],
)
def test_mapped_columns_get_our_names_and_others_stay(
    tmp_path: Path, columns: dict[str, str], row: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert values_of(write(tmp_path / "x.jsonl", as_jsonl([row])), columns=columns) == [expected]


def test_a_mapped_column_may_be_missing_in_some_rows_and_some_pieces(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", as_jsonl([{"id": 1}, "words", {"body": "a"}]))
    assert values_of(path, columns={"text": "body"}, shard_rows=1) == [{"id": 1}, "words", {"text": "a"}]


def test_a_mapped_column_is_found_behind_very_many_others(tmp_path: Path) -> None:
    rows = [{f"column {number}": 1} for number in range(500)] + [{"body": "a"}]
    path = write(tmp_path / "x.jsonl", as_jsonl(rows))
    assert values_of(path, columns={"text": "body"})[-1] == {"text": "a"}


def test_a_mapped_column_that_no_row_has_is_an_error_that_lists_what_there_is(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", as_jsonl([{"question": "a"}, {"answer": "b"}]))
    expected = r"source 'train' .*: expected a column 'anser', which `columns` names, found only 'answer', 'question'"
    with pytest.raises(DataError, match=expected):
        values_of(path, columns={"prompt": "question", "completion": "anser"}, shard_rows=1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.jsonl", b"\n \n"),
        ("x.json", b"[]"),
        ("x.csv", b"a,b\n"),
        ("x.txt", b"\n"),
        ("x.jsonl.gz", COMPRESS[".gz"](b"")),
        ("x.parquet", as_parquet([])),
    ],
)
def test_a_source_without_a_row_is_an_error(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(DataError, match=rf"source 'train': no row in .*{name}"):
        values_of(write(tmp_path / name, content))


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_a_file_that_changed_after_it_was_digested_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, "1\n2\n")
    (piece,) = locate(path).pieces
    write(path, "1\n2\n3\n")
    with pytest.raises(DataError, match=rf"{name}: the file changed while it was being read"):
        ingest(piece, tmp_path)


def kept(path: Path, **spec: Any) -> list[Any]:
    """The values of the rows that take part."""
    root, shards = shards_of(path, shard_rows=50, **spec)
    tables = [select_rows(shard.selection, read_table(shard.arrow_file(root))) for shard in shards]
    return [orjson.loads(record) for table in tables for record in table["record"].to_pylist()]


def test_exactly_max_rows_are_kept_and_not_the_first(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", as_jsonl(list(range(1000))))
    chosen = kept(path, max_rows=100)
    assert len(chosen) == 100
    assert chosen == sorted(chosen)
    assert 350 < np.mean(chosen) < 650, "spread over the whole source"
    assert kept(path, max_rows=100) == chosen != kept(path, max_rows=100, seed=1)
    assert set(chosen) < set(kept(path, max_rows=200))


@pytest.mark.parametrize(("fraction", "max_rows", "rows"), [(None, 5000, 1000), (0.01, 999, 11), (1.0, 999, 999)])
def test_the_narrower_of_both_limits_counts(tmp_path: Path, fraction: float | None, max_rows: int, rows: int) -> None:
    path = write(tmp_path / "x.jsonl", as_jsonl(list(range(1000))))
    chosen = kept(path, fraction=fraction, max_rows=max_rows)
    assert len(chosen) == rows
    if fraction == 0.01:
        assert chosen == kept(path, fraction=0.01)


def test_a_fraction_stays_drawn_when_rows_are_appended(tmp_path: Path) -> None:
    short = write(tmp_path / "x.jsonl", as_jsonl(list(range(1000))))
    long = write(tmp_path / "y.jsonl", as_jsonl(list(range(2000))))
    chosen = kept(short, fraction=0.3)
    assert 250 < len(chosen) < 350
    assert [value for value in kept(long, fraction=0.3) if value < 1000] == chosen


def test_exactly_max_rows_are_kept_of_files_that_are_equal(tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path / "in" / f"{name}.jsonl", as_jsonl(list(range(100))))
    for max_rows in (100, 101, 102, 103):
        assert len(kept(tmp_path / "in", max_rows=max_rows)) == max_rows


def test_the_hashes_beside_a_shard_are_those_of_its_records(tmp_path: Path) -> None:
    root, shards = shards_of(write(tmp_path / "x.jsonl", as_jsonl(list(range(100)))), max_rows=40, shard_rows=30)
    for shard in shards:
        table = read_table(shard.arrow_file(root))
        mask = are_selected(shard.selection, np.load(shard.arrow_file(root).with_suffix(".npy")))
        assert select_rows(shard.selection, table)["row"].to_pylist() == table["row"].to_numpy()[mask].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "jsonl.gz", "parquet", "stream.arrow"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, kind: str) -> None:
    """The peak of a process that reads 20 MB (200 MB in full size) is that of one that reads 4 MB."""
    small, large = (
        _peak_bytes(_file_of(kind, num_rows, tmp_path)) for num_rows in (4_000, 200_000 if IS_FULL else 20_000)
    )
    assert large - small < 8 << 20


def _file_of(kind: str, num_rows: int, folder: Path) -> Path:
    rows = [{"text": f"{number:01000}"} for number in range(num_rows)]
    ending = kind.removesuffix(".gz")
    compress = COMPRESS[kind.removeprefix(ending)]
    return write(folder / f"{num_rows}.{kind}", compress(AS_FILE[ending](rows)))


def _peak_bytes(path: Path) -> int:
    """Of the memory of a fresh process that ingests a file (Linux; `ru_maxrss` would count this process's as well)."""
    code = (
        "import sys; from pathlib import Path; from tests.sft_core.data.sources.files import shards_of;"
        "shards_of(Path(sys.argv[1])); print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[4], capture_output=True, text=True, check=True, timeout=300
    )
    return int(done.stdout) << 10
