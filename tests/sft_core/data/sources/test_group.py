"""Small files that share a piece: where groups end, and what stays as if each file had one of its own."""

import gzip
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sft_core.data.selection import select_rows
from sft_core.data.sources import FilePiece, Group, group
from sft_core.data.sources.group import group_files
from sft_core.errors import DataError
from sft_core.store.fingerprint import digest
from sft_core.store.tables import read_table

from .files import as_jsonl, locate, shards_of, write

MOST = 50


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of about eight small files, of a source of any number of files."""
    for name, value in (("FEWEST_FILES", 1), ("GROUP_BYTES", 1 << 10), ("FILE_BYTES", 1 << 7), ("MOST_FILES", MOST)):
        monkeypatch.setattr(group, name, value)


def piece(number: int, num_bytes: int = 20, **changes: Any) -> FilePiece:
    named = FilePiece(
        source="s",
        number=0,
        path=Path(f"{number}.jsonl"),
        file=f"{number}.jsonl",
        file_format="jsonl",
        compression=None,
        columns={},
        shard_rows=4096,
        digest=digest(number),
        stamp=f"{num_bytes}:1:1:1",
    )
    return replace(named, **changes)


def groups_of(pieces: list[FilePiece]) -> list[tuple[FilePiece, ...]]:
    return [one.members for one in group_files([(piece,) for piece in pieces])]


def names_of(pieces: list[FilePiece]) -> set[tuple[str, ...]]:
    return {tuple(member.file for member in members) for members in groups_of(pieces)}


def test_every_file_is_in_one_group_and_they_keep_their_order() -> None:
    pieces = [piece(number) for number in range(300)]
    found = groups_of(pieces)
    assert [member for members in found for member in members] == pieces
    assert 20 < len(found) < 80


@pytest.mark.parametrize("seed", range(40))
def test_a_change_moves_no_border_but_the_nearest(seed: int) -> None:
    draw = random.Random(seed)
    pieces = [piece(number, draw.randrange(1, 200)) for number in draw.sample(range(10**6), 200)]
    at, other = draw.randrange(200), piece(10**7 + seed, draw.randrange(1, 200))
    before = names_of(pieces)
    for changed in (
        [*pieces[:at], other, *pieces[at + 1 :]],
        [*pieces[:at], other, *pieces[at:]],
        [*pieces[:at], *pieces[at + 1 :]],
    ):
        after = names_of(changed)
        assert len(after - before) <= 2
        assert len(before - after) <= 2


def test_a_large_file_stays_alone_and_what_is_read_in_another_way_is_in_another_group() -> None:
    large = piece(7, 1 << 10)
    pieces = [piece(1), piece(2), large, piece(3), piece(4, file_format="txt"), piece(5, compression="gzip")]
    found = groups_of(pieces)
    assert (large,) in found
    assert all(len({(member.file_format, member.compression) for member in members}) == 1 for members in found)


def test_files_that_are_all_alike_are_cut_by_counting() -> None:
    endless = next(number for number in range(100) if not group._ends_group(piece(number)))
    found = groups_of([piece(endless)] * (2 * MOST + 3))
    assert [len(members) for members in found] == [MOST, MOST, 3]


def test_a_source_of_few_files_has_a_piece_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "FEWEST_FILES", 4)
    for number in range(3):
        write(tmp_path / "in" / f"{number}.jsonl", as_jsonl([number]))
    assert [isinstance(one, FilePiece) for one in locate(tmp_path / "in").pieces] == [True] * 3
    monkeypatch.setattr(group, "FEWEST_FILES", 3)
    assert any(isinstance(one, Group) for one in locate(tmp_path / "in").pieces)


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files in a row are one group."""
    monkeypatch.setattr(group, "_ends_group", lambda piece: False)


@pytest.mark.usefixtures("endless")
def test_a_shard_numbers_its_rows_through_and_says_which_file_each_is_from(tmp_path: Path) -> None:
    write(tmp_path / "in/a.jsonl", '{"a": 1}\n\n{"a": 2}\n{"a": 3}\n')
    write(tmp_path / "in/b.jsonl", "\n")
    write(tmp_path / "in/c.jsonl", '\n{"c": 1}\n{"c": 2}')
    write(tmp_path / "in/d.jsonl", '{"d": 1}\n')
    root, shards = shards_of(tmp_path / "in", shard_rows=4)
    tables = [read_table(shard.arrow_file(root)) for shard in shards]
    assert [table["row"].to_pylist() for table in tables] == [[0, 1, 2, 3], [1, 2]]
    assert [table["line"].to_pylist() for table in tables] == [[1, 3, 4, 2], [3, 1]]
    assert [[(part.file, part.start, part.first_row, part.rows) for part in shard.parts] for shard in shards] == [
        [("a.jsonl", 0, 0, 3), ("c.jsonl", 3, 0, 1)],
        [("c.jsonl", 1, 1, 1), ("d.jsonl", 2, 0, 1)],
    ]


@pytest.mark.usefixtures("endless")
def test_a_broken_file_stops_with_its_own_name_and_line(tmp_path: Path) -> None:
    for name, content in (("a", '{"a": 1}\n'), ("b", '{"a": 1}\n{"a": \n'), ("c", '{"a": 1}\n')):
        write(tmp_path / f"in/{name}.jsonl", content)
    with pytest.raises(DataError, match=r"b\.jsonl, line 2"):
        shards_of(tmp_path / "in")


@pytest.mark.usefixtures("endless")
def test_a_group_is_known_by_its_bytes_and_not_by_where_they_lie(tmp_path: Path) -> None:
    for folder, prefix in (("in", ""), ("moved", "x")):
        for number in range(3):
            write(tmp_path / folder / f"{prefix}{number}.jsonl", as_jsonl([number]))
    [one], [moved] = (locate(tmp_path / folder).pieces for folder in ("in", "moved"))
    assert digest(one) == digest(moved)
    write(tmp_path / "moved/x1.jsonl", as_jsonl([7]))
    assert digest(locate(tmp_path / "moved").pieces[0]) != digest(one)


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz"])
@pytest.mark.parametrize("max_rows", [1, 3, 5, 9, 12])
def test_as_many_rows_are_drawn_from_equal_files_as_are_asked_for(tmp_path: Path, max_rows: int, ending: str) -> None:
    plain = as_jsonl(["a", "b", "c"])
    content = gzip.compress(plain, mtime=0) if ending.endswith("gz") else plain
    for number in range(4):
        write(tmp_path / "in" / f"{number}{ending}", content)
    root, shards = shards_of(tmp_path / "in", max_rows=max_rows, shard_rows=7)
    taken = [select_rows(shard.selection, read_table(shard.arrow_file(root)), shard.parts) for shard in shards]
    assert sum(len(table) for table in taken) == max_rows
