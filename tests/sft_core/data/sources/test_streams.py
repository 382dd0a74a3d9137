"""Archives and encodings: what is broken or no UTF-8 is named, with the offset."""

import gzip
from pathlib import Path

import pytest

from sft_core.errors import DataError

from .files import COMPRESS, values_of, write

CONTENT = b'{"text": "a row"}\n' * 20_000
ARCHIVES = {ending: compress(CONTENT) for ending, compress in COMPRESS.items() if ending}
NAMES = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}
LATIN_1 = {
    "jsonl": b'{"text": "aa"}\n{"text": "\xe9t\xe9"}\n',
    "json": b'[{"text": "a"},{"text": "\xe9t\xe9"}]\n',
    "csv": b"text,other columns\n12345,\xe9t\xe9\n",
    "tsv": b"text\tother columns\n12345\t\xe9t\xe9\n",
    "txt": b"123456789012345678901234\n\xe9t\xe9\n",
}
"""Each with its first wrong byte at offset 25."""


@pytest.mark.parametrize("ending", NAMES)
@pytest.mark.parametrize("damage", ["truncated", "cut early", "garbage"])
def test_a_broken_archive_is_named(tmp_path: Path, ending: str, damage: str) -> None:
    whole = ARCHIVES[ending]
    content = {"truncated": whole[:-3], "cut early": whole[:20], "garbage": b"no archive"}[damage]
    with pytest.raises(DataError, match=rf"x.jsonl{ending}: expected a whole {NAMES[ending]} file, found: ."):
        values_of(write(tmp_path / f"x.jsonl{ending}", content))


@pytest.mark.parametrize("ending", NAMES)
def test_archives_that_follow_each_other_are_one(tmp_path: Path, ending: str) -> None:
    parts = [COMPRESS[ending](b'{"a": %d}\n' % number) for number in range(3)]
    assert values_of(write(tmp_path / f"x.jsonl{ending}", b"".join(parts))) == [{"a": 0}, {"a": 1}, {"a": 2}]


@pytest.mark.parametrize("compressed", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", LATIN_1)
def test_another_encoding_is_refused_with_the_offset(tmp_path: Path, kind: str, compressed: str) -> None:
    path = write(tmp_path / f"x.{kind}{compressed}", COMPRESS[compressed](LATIN_1[kind]))
    where = " of the decompressed text" if compressed else ""
    expected = rf"{path.name}: expected UTF-8, found byte 0xe9 at offset 25{where}; convert the file to UTF-8"
    with pytest.raises(DataError, match=expected):
        values_of(path)


def test_the_offset_counts_in_the_file_not_in_the_piece(tmp_path: Path) -> None:
    path = write(tmp_path / "x.txt", b"one\ntwo\nthree\n\xff\n")
    with pytest.raises(DataError, match="found byte 0xff at offset 14;"):
        values_of(path, shard_rows=2)


def test_a_character_that_is_cut_off_at_the_end_is_found(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found byte 0xc3 at offset 4;"):
        values_of(write(tmp_path / "x.txt", b"one \xc3"))


@pytest.mark.parametrize("compressed", ["", ".gz"])
@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "txt"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_recognised(tmp_path: Path, kind: str, compressed: str, encoding: str) -> None:
    text = {"jsonl": '{"text": "a"}\n', "json": '[{"text": "a"}]', "csv": "text\na\n", "txt": "text\n"}[kind]
    content = COMPRESS[compressed](text.encode(encoding))
    with pytest.raises(DataError, match=r"expected UTF-8, found .*looks like UTF-16\)?; convert"):
        values_of(write(tmp_path / f"x.{kind}{compressed}", content))


def test_a_large_json_file_of_utf_16_is_recognised(tmp_path: Path) -> None:
    text = "[" + ",".join(['{"text": "a"}'] * 100_000) + "]"
    with pytest.raises(DataError, match=r"expected UTF-8, found byte 0xff at offset 0 \(it looks like UTF-16\)"):
        values_of(write(tmp_path / "x.json", text.encode("utf-16")))


def test_a_compressed_file_without_the_ending_is_recognised(tmp_path: Path) -> None:
    content = gzip.compress(b'{"text": "a"}\n', mtime=0)
    with pytest.raises(DataError, match=r"it looks like gzip, whose ending is \.gz"):
        values_of(write(tmp_path / "x.jsonl", content))


def test_nul_characters_pass_through(tmp_path: Path) -> None:
    assert values_of(write(tmp_path / "x.txt", b"a\x00\x00b\n\x00\n")) == [{"text": "a\x00\x00b"}, {"text": "\x00"}]
    assert values_of(write(tmp_path / "x.csv", b"a,b\n\x00,c\x00\n")) == [{"a": "\x00", "b": "c\x00"}]
