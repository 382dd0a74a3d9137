"""What folders and files take on the disk, and what removing them frees: a file with several names is gone with the
last one."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def bytes_freed(folders: list[Path]) -> list[int]:
    """Count what removing each folder frees, if those before it are gone already.

    Args:
        folders: In the order of removal; none lies in another.

    Returns:
        Bytes on the disk. A file that has a name outside of all of them frees nothing.
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
    """Count what folders take together, each file once."""
    sizes = {(stat.st_dev, stat.st_ino): stat.st_blocks * 512 for folder in folders for stat in _files(folder)}
    return sum(sizes.values())


def last_change(folder: Path) -> float:
    """When anything in a folder last changed, in seconds since 1970."""
    return max([folder.stat().st_mtime, *(stat.st_mtime for stat in _files(folder))])


def _files(folder: Path) -> Iterator[os.stat_result]:
    if folder.is_file():
        yield folder.lstat()
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                yield (Path(parent) / name).lstat()
