"""Disk space of folders and files, and the space that removing them frees.

A file with several hard links is only freed with the last one.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def bytes_freed(folders: list[Path]) -> list[int]:
    """Count the bytes that removing each folder frees, if the folders before it are already removed.

    Args:
        folders: Folders or files in the order of removal; no folder may contain another.

    Returns:
        [folders] bytes on the disk. A file that also has a hard link outside of all folders frees nothing.
    """
    seen: dict[tuple[int, int], int] = {}
    freed = []
    for folder in folders:
        total = 0
        for stat in _files(folder):
            name = (stat.st_dev, stat.st_ino)
            seen[name] = seen.get(name, 0) + 1
            total += stat.st_blocks * 512 if seen[name] == stat.st_nlink else 0
        freed.append(total)
    return freed


def bytes_taken(folders: list[Path]) -> int:
    """Count the bytes on the disk that folders occupy together; a file with several hard links counts once."""
    sizes = {(stat.st_dev, stat.st_ino): stat.st_blocks * 512 for folder in folders for stat in _files(folder)}
    return sum(sizes.values())


def last_change(folder: Path) -> float:
    """Return the time of the last change in a folder, in seconds since 1970."""
    return max([folder.stat().st_mtime, *(stat.st_mtime for stat in _files(folder))])


def _files(folder: Path) -> Iterator[os.stat_result]:
    if folder.is_file():
        yield folder.lstat()
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                yield (Path(parent) / name).lstat()
