"""Bytes that removing really frees."""

import os
from pathlib import Path

import pytest

from sft_core.store.disk_use import bytes_freed, bytes_taken, last_change

BLOCK = 4096


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """`a/1` is also `b/1`; `b/2` is also `c/2`; `c/3` is alone."""
    made = tuple(tmp_path / name for name in "abc")
    for folder in made:
        folder.mkdir()
    a, b, c = made
    (a / "1").write_bytes(b"x" * BLOCK)
    (b / "2").write_bytes(b"x" * 2 * BLOCK)
    (c / "3").write_bytes(b"x" * 4 * BLOCK)
    os.link(a / "1", b / "1")
    os.link(b / "2", c / "2")
    return a, b, c


def test_a_file_is_freed_with_its_last_name(folders: tuple[Path, Path, Path]) -> None:
    a, b, c = folders
    assert bytes_freed([a, b]) == [0, BLOCK]
    assert bytes_freed([b, a]) == [0, BLOCK]
    assert bytes_freed([a, b, c]) == [0, BLOCK, 6 * BLOCK]
    assert bytes_freed([c]) == [4 * BLOCK]


def test_each_file_is_counted_once(folders: tuple[Path, Path, Path]) -> None:
    assert bytes_taken(list(folders)) == 7 * BLOCK


def test_the_last_change_is_that_of_any_file_below(folders: tuple[Path, Path, Path]) -> None:
    a, _, _ = folders
    (a / "deep").mkdir()
    (a / "deep" / "er").write_text("")
    os.utime(a / "deep" / "er", (4e9, 4e9))
    assert last_change(a) == 4e9
