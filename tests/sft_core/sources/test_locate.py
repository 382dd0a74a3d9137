"""From paths to files."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from sft_core.errors import DataError, RecipeError
from sft_core.file_digests import FileDigests
from sft_core.fingerprint import digest_file
from sft_core.sources import LocatedSource, SourceSpec, locate_sources


def locate(digests: FileDigests, path: Path | str, **spec: Any) -> LocatedSource:
    return locate_sources((SourceSpec(path=str(path), **spec),), digests)[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jsonl", "a.jsonl", "c.csv"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "d.jsonl").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "file_format", "is_gzipped"),
    [
        ("x.jsonl", "jsonl", False),
        ("x.ndjson", "jsonl", False),
        ("x.json", "json", False),
        ("x.csv", "csv", False),
        ("x.parquet", "parquet", False),
        ("x.txt", "txt", False),
        ("x.JSONL", "jsonl", False),
        ("x.v2.jsonl.gz", "jsonl", True),
        ("x.csv.gz", "csv", True),
    ],
)
def test_the_ending_tells_the_format(
    tmp_path: Path, file_digests: FileDigests, name: str, file_format: str, is_gzipped: bool
) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b"x") if is_gzipped else b"x")
    (file,) = locate(file_digests, tmp_path / name).files
    assert (file.file_format, file.is_gzipped, file.digest) == (file_format, is_gzipped, digest_file(tmp_path / name))


def test_the_recipe_can_tell_the_format(tmp_path: Path, file_digests: FileDigests) -> None:
    (tmp_path / "data").write_text("{}")
    assert locate(file_digests, tmp_path / "data", file_format="jsonl").files[0].file_format == "jsonl"


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.jsonl", ["a.jsonl", "b.jsonl"]),
        ("**/*.jsonl", ["a.jsonl", "b.jsonl", "d.jsonl"]),
        ("[ab].jsonl", ["a.jsonl", "b.jsonl"]),
    ],
)
def test_a_glob_finds_files_in_order_of_name(
    folder: Path, file_digests: FileDigests, pattern: str, names: list[str]
) -> None:
    assert [file.path.name for file in locate(file_digests, folder / pattern).files] == names


def test_a_path_with_glob_characters_that_exists_is_that_file(tmp_path: Path, file_digests: FileDigests) -> None:
    (tmp_path / "data[1].jsonl").write_text("{}")
    assert [file.path.name for file in locate(file_digests, tmp_path / "data[1].jsonl").files] == ["data[1].jsonl"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/train.jsonl", "train"),
        ("train.v2.jsonl.gz", "train"),
        ("data/*.jsonl", "source"),
        ("my data (1).csv", "my-data-1"),
        ("train-*.jsonl", "train"),
        ("hf://datasets/org/name@main/data/test.parquet", "test"),
    ],
)
def test_a_source_is_called_after_its_file_unless_named(path: str, name: str) -> None:
    assert SourceSpec(path=path).source_name == name
    assert SourceSpec(path=path, name="mine").source_name == "mine"


def test_a_missing_file_is_named_with_its_absolute_path(tmp_path: Path, file_digests: FileDigests) -> None:
    with pytest.raises(
        DataError,
        match=rf"expected a file at '{tmp_path}/x.jsonl', found nothing there \(looked for {tmp_path}/x.jsonl\)",
    ):
        locate(file_digests, tmp_path / "x.jsonl")


def test_a_glob_that_matches_nothing_is_an_error(folder: Path, file_digests: FileDigests) -> None:
    with pytest.raises(DataError, match=r"expected a file at '.*\*\.parquet', found nothing there"):
        locate(file_digests, folder / "*.parquet")


def test_a_folder_is_answered_with_how_to_name_its_files(folder: Path, file_digests: FileDigests) -> None:
    with pytest.raises(DataError, match="found a folder; name the files in it, for example with a glob"):
        locate(file_digests, folder / "inner")


def test_an_empty_file_is_an_error_even_among_others(folder: Path, file_digests: FileDigests) -> None:
    (folder / "b.jsonl").write_text("")
    with pytest.raises(DataError, match=r"b\.jsonl: the file is empty"):
        locate(file_digests, folder / "*.jsonl")


@pytest.mark.parametrize("name", ["data", "data.xml", "data.gz", "data.tar.gz"])
def test_an_unknown_ending_is_answered_with_the_known_ones(
    tmp_path: Path, file_digests: FileDigests, name: str
) -> None:
    (tmp_path / name).write_text("x")
    expected = r"cannot tell the format .* expected one of \.csv, \.json, \.jsonl, .* or set `file_format`"
    with pytest.raises(RecipeError, match=expected):
        locate(file_digests, tmp_path / name)


def test_two_sources_of_one_name_are_refused(folder: Path, file_digests: FileDigests) -> None:
    specs = (SourceSpec(path=str(folder / "a.jsonl")), SourceSpec(path=str(folder / "b.jsonl"), name="a"))
    with pytest.raises(RecipeError, match="2 sources are called 'a'; give each its own `name`"):
        locate_sources(specs, file_digests)
