"""From paths to files and pieces."""

import os
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict

from sft_core.data.sources import LocatedSource, SourceSpec, locate_sources
from sft_core.errors import DataError, RecipeError
from sft_core.store.file_digests import FileDigests
from sft_core.store.fingerprint import digest, digest_bytes, digest_file

from .files import COMPRESS, as_jsonl, as_parquet, locate, values_of, write

ROWS = [{"text": f"row {number}"} for number in range(7)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jsonl", "a.jsonl", "c.csv", "inner/d.jsonl"):
        write(tmp_path / name, '{"a": 1}\n')
    return tmp_path


def names(source: LocatedSource) -> list[str]:
    return [piece.file for piece in source.pieces]


@pytest.mark.parametrize(
    ("name", "file_format", "compression"),
    [
        ("x.jsonl", "jsonl", None),
        ("x.ndjson", "jsonl", None),
        ("x.json", "json", None),
        ("x.csv", "csv", None),
        ("x.tsv", "tsv", None),
        ("x.parquet", "parquet", None),
        ("x.arrow", "arrow", None),
        ("x.txt", "txt", None),
        ("x.JSONL", "jsonl", None),
        ("x.v2.jsonl.gz", "jsonl", "gzip"),
        ("x.csv.bz2", "csv", "bz2"),
        ("x.json.xz", "json", "xz"),
        ("x.parquet.zst", "parquet", "zstd"),
    ],
)
def test_the_ending_tells_the_format(tmp_path: Path, name: str, file_format: str, compression: str | None) -> None:
    (piece,) = locate(write(tmp_path / name, b"x")).pieces
    assert (piece.file_format, piece.compression, piece.file) == (file_format, compression, name)


def test_the_recipe_can_tell_the_format(tmp_path: Path) -> None:
    (piece,) = locate(write(tmp_path / "data.gz", COMPRESS[".gz"](b"{}")), file_format="jsonl").pieces
    assert (piece.file_format, piece.compression) == ("jsonl", "gzip")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jsonl", ["a.jsonl", "b.jsonl"]),
        ("**/*.jsonl", ["a.jsonl", "b.jsonl", "inner/d.jsonl"]),
        ("[ab].jsonl", ["a.jsonl", "b.jsonl"]),
        ("inner/*", ["d.jsonl"]),
    ],
)
def test_a_glob_finds_files_in_order_of_name(folder: Path, pattern: str, expected: list[str]) -> None:
    assert names(locate(folder / pattern)) == expected


def test_a_path_with_glob_characters_that_exists_is_that_file(tmp_path: Path) -> None:
    assert names(locate(write(tmp_path / "data[1].jsonl", "{}"))) == ["data[1].jsonl"]


def test_a_folder_is_all_its_data_files_and_nothing_else(folder: Path) -> None:
    for name in ("README.md", "notes.txt", ".hidden.jsonl", "_logs/x.jsonl", "dataset_infos.json", "_SUCCESS"):
        write(folder / name, "no data")
    assert names(locate(folder)) == ["a.jsonl", "b.jsonl", "c.csv", "inner/d.jsonl"]
    assert names(locate(folder, file_format="csv")) == ["c.csv"]
    assert names(locate(folder, file_format="txt")) == ["notes.txt"]


def test_a_folder_of_text_alone_is_text(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.txt", "a")
    assert names(locate(tmp_path / "in")) == ["a.txt"]


def test_a_folder_of_files_without_endings_needs_a_format(tmp_path: Path) -> None:
    write(tmp_path / "in" / "part-0", '{"a": 1}')
    write(tmp_path / "in" / "part-1", '{"a": 2}')
    with pytest.raises(DataError, match=r"expected data files below the folder '.*in', found 2 files of other kinds"):
        locate(tmp_path / "in")
    assert values_of(tmp_path / "in", file_format="jsonl") == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("inner", ["", "inner/deeper"])
def test_an_empty_folder_is_an_error_that_lists_the_known_endings(tmp_path: Path, inner: str) -> None:
    (tmp_path / "empty" / inner).mkdir(parents=True)
    with pytest.raises(DataError, match=r"found 0 files of other kinds; known endings are \.arrow, \.csv, .*\.zst\)"):
        locate(tmp_path / "empty")


def test_a_saved_data_set_is_read_in_its_order(tmp_path: Path) -> None:
    Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "saved"), num_shards=3)
    write(tmp_path / "saved" / "cache-1.arrow", "of somebody's map")
    assert values_of(tmp_path / "saved") == ROWS


def test_a_saved_data_set_of_one_split_is_that_split_and_of_several_asks_for_one(tmp_path: Path) -> None:
    rows = Dataset.from_list(ROWS)
    DatasetDict({"train": rows}).save_to_disk(str(tmp_path / "one"))
    DatasetDict({"train": rows, "test": rows.select(range(2))}).save_to_disk(str(tmp_path / "two"))
    assert values_of(tmp_path / "one") == ROWS
    assert values_of(tmp_path / "two" / "test") == ROWS[:2]
    with pytest.raises(DataError, match=r"several splits; name one as the path: '.*two/train', '.*two/test'"):
        locate(tmp_path / "two")


def test_a_saved_data_set_without_its_files_is_an_error(tmp_path: Path) -> None:
    Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "saved" / "data-00000-of-00001.arrow").unlink()
    with pytest.raises(DataError, match=r"found no data-00000-of-00001\.arrow; save the data set again"):
        locate(tmp_path / "saved")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/train.jsonl", "train"),
        ("train.v2.jsonl.gz", "train"),
        ("data/*.jsonl", "source"),
        ("data/", "data"),
        ("my data (1).csv", "my-data-1"),
        ("train-*.jsonl", "train"),
        ("hf://datasets/org/name@main/data/test.parquet", "test"),
    ],
)
def test_a_source_is_called_after_its_file_unless_named(path: str, name: str) -> None:
    assert SourceSpec(path=path).source_name == name
    assert SourceSpec(path=path, name="mine").source_name == "mine"


def test_a_missing_file_is_named_with_its_absolute_path(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=rf"expected a file at '{tmp_path}/x.jsonl', found nothing there \(looked for {tmp_path}/x.jsonl\)",
    ):
        locate(tmp_path / "x.jsonl")


def test_a_glob_that_matches_nothing_is_an_error(folder: Path) -> None:
    with pytest.raises(DataError, match=r"expected a file at '.*\*\.parquet', found nothing there"):
        locate(folder / "*.parquet")


def test_an_empty_file_is_an_error_even_among_others(folder: Path) -> None:
    (folder / "b.jsonl").write_text("")
    with pytest.raises(DataError, match=r"b\.jsonl: the file is empty"):
        locate(folder / "*.jsonl")


@pytest.mark.parametrize("name", ["data", "data.xml", "data.gz", "data.tar.gz"])
def test_an_unknown_ending_is_answered_with_the_known_ones(tmp_path: Path, name: str) -> None:
    expected = r"cannot tell the format .* expected one of \.arrow, \.csv, \.json, \.jsonl, .* or set `file_format`"
    with pytest.raises(RecipeError, match=expected):
        locate(write(tmp_path / name, "x"))


def test_two_sources_of_one_name_are_refused(folder: Path, file_digests: FileDigests) -> None:
    specs = (SourceSpec(path=str(folder / "a.jsonl")), SourceSpec(path=str(folder / "b.jsonl"), name="a"))
    with pytest.raises(RecipeError, match="2 sources are called 'a'; give each its own `name`"):
        locate_sources(specs, file_digests)


def test_a_file_of_lines_is_cut_and_others_are_not(tmp_path: Path) -> None:
    pieces = locate(write(tmp_path / "x.jsonl", as_jsonl(ROWS)), shard_rows=3).pieces
    assert [(piece.name, piece.range.rows if piece.range else None) for piece in pieces] == [
        ("train-00000", 3),
        ("train-00001", 3),
        ("train-00002", 1),
    ]
    assert pieces[2].digest == digest_bytes([b'{"text": "row 6"}'])
    for name, content in (("x.jsonl.gz", COMPRESS[".gz"](as_jsonl(ROWS))), ("x.parquet", as_parquet(ROWS))):
        path = write(tmp_path / name, content)
        (piece,) = locate(path, shard_rows=3).pieces
        assert (piece.range, piece.digest) == (None, digest_file(path))


def identities(path: Path, **spec: Any) -> list[str]:
    return [digest(piece) for piece in locate(path, **{"shard_rows": 3, **spec}).pieces]


def test_appended_rows_change_the_last_piece_only(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", as_jsonl(ROWS))
    before = identities(path)
    after = identities(write(path, as_jsonl([*ROWS, *ROWS])))
    assert (len(before), len(after)) == (3, 5)
    assert after[:2] == before[:2]
    assert not set(after[2:]) & set(before)


def test_a_changed_row_changes_its_piece_only(tmp_path: Path) -> None:
    before = identities(write(tmp_path / "x.jsonl", as_jsonl(ROWS)))
    after = identities(write(tmp_path / "x.jsonl", as_jsonl([*ROWS[:4], {"text": "other"}, *ROWS[5:]])))
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]


def test_a_piece_is_its_bytes_and_how_they_are_read(tmp_path: Path) -> None:
    content = as_jsonl(ROWS[:1])
    same = identities(write(tmp_path / "x.jsonl", content))
    moved = write(tmp_path / "elsewhere" / "y.jsonl", content)
    for spec in ({}, {"name": "other"}, {"split": "eval"}, {"fraction": 0.5}, {"max_rows": 1}, {"repeat": 2}):
        assert identities(moved, **spec) == same
    assert identities(moved, columns={"a": "b"}) != same
    assert identities(moved, file_format="txt") != same
    assert identities(moved, shard_rows=4) != same
    assert identities(write(tmp_path / "z.jsonl", b"\n" + content)) != same, "its lines are others"


def test_a_file_that_grows_renames_no_piece_of_another(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        write(tmp_path / "in" / name, as_jsonl(ROWS))
    before = [(piece.name, digest(piece)) for piece in locate(tmp_path / "in", shard_rows=3).pieces]
    write(tmp_path / "in" / "a.jsonl", as_jsonl(ROWS * 2))
    after = [(piece.name, digest(piece)) for piece in locate(tmp_path / "in", shard_rows=3).pieces]
    assert after[5:] == before[3:]


def test_a_file_written_in_place_whose_time_was_put_back_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", as_jsonl(ROWS))
    before, stat = identities(path), path.stat()
    with path.open("r+") as file:
        file.write('{"text": "ROW')
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert identities(path)[0] != before[0]


def test_a_source_is_what_takes_part_as_well(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", as_jsonl(ROWS))
    function = write(tmp_path / "rows.py", "def change(row):\n    return row\n")
    specs: list[dict[str, Any]] = [
        {},
        {"fraction": 0.5},
        {"max_rows": 3},
        {"repeat": 2.0},
        {"seed": 1},
        {"split": "eval"},
        {"name": "other"},
        {"transform": f"{function}:change"},
    ]
    assert len({digest(locate(path, **spec)) for spec in specs}) == len(specs)


def test_a_transform_that_does_not_exist_is_found_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"transform 'nowhere_at_all\.rows\.change': expected a module"):
        locate(write(tmp_path / "x.jsonl", as_jsonl(ROWS)), transform="nowhere_at_all.rows.change")
