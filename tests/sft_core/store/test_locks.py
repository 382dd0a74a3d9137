"""Locks on files are seen by other processes, and are released with their file."""

import fcntl
from pathlib import Path

import pytest

from sft_core.store.locks import is_locked, open_lock, try_lock


def test_one_exclusive_lock_or_many_shared_ones(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with open_lock(path) as first, open_lock(path) as second:
        assert path.stat().st_mode & 0o077 == 0
        assert try_lock(first, fcntl.LOCK_SH)
        assert try_lock(second, fcntl.LOCK_SH)
        assert is_locked(path)
        assert not is_locked(path, fcntl.LOCK_SH)
        assert not try_lock(first, fcntl.LOCK_EX)
    assert not is_locked(path)


def test_a_file_that_is_missing_is_not_locked_and_not_made(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "lock")
    with pytest.raises(FileNotFoundError):
        open_lock(tmp_path / "lock", is_made=False)
    assert list(tmp_path.iterdir()) == []
