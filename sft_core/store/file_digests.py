"""What was computed from a file, above all its digest, remembered by its path, size, times of change and inode, so that
a second run does not read 100 GB again."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from sft_core.store.fingerprint import digest, digest_file

PLACEMENT = "It remembers digests of files by their stamps."

KNOWN = "SELECT value FROM results WHERE path = ? AND what = ? AND stamp = ?"
FILES_WRITTEN_TOGETHER = 1000
BYTES_WORTH_WRITING = 1 << 26
"""A file so large is remembered at once: reading it again would take longer than the transaction."""


class FileDigests:
    """A small sqlite file with one line per file and kind of result."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        with closing(self._connect()) as connection, connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS results "
                "(path TEXT, what TEXT, stamp TEXT, value TEXT, PRIMARY KEY (path, what))"
            )

    @classmethod
    def below(cls, home: Path) -> Self:
        """The digests that all runs with this home remember."""
        return cls(home / "file-digests.sqlite")

    def of_file(self, path: Path) -> str:
        """Digest one file's bytes, reading it only if it changed since the last time."""
        with self.together() as remembered:
            return remembered.of_file(path)

    def of_files(self, paths: Sequence[Path]) -> list[str]:
        """Digest many files' bytes, as `of_file` does one's, without a transaction for each: 100,000 small ones take
        4 s of a core, and 3 s once they are known."""
        with self.together() as remembered:
            return [remembered.of_file(path) for path in paths]

    def of_folder(self, folder: Path, files: Iterable[Path]) -> str:
        """Digest some files of a folder, by their names in it and their bytes."""
        return digest({file.relative_to(folder).as_posix(): self.of_file(file) for file in sorted(files)})

    def remember(self, path: Path, what: str, compute: Callable[[], Any]) -> Any:
        """Return what was computed from a file's bytes, computing it only if the file changed since the last time.

        Args:
            path: The file.
            what: Names the computation with all its parameters, and the version of its code if that can change.
            compute: Gives a JSON value.
        """
        with self.together() as remembered:
            return remembered.remember(path, what, compute)

    @contextmanager
    def together(self) -> Iterator["Remembered"]:
        """One connection for many files; what is computed is written a thousand files at a time, which is a hundred
        times as fast as a transaction for each. Nothing is locked while a file is read."""
        with closing(self._connect()) as connection:
            remembered = Remembered(connection)
            try:
                yield remembered
            finally:
                remembered.write()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=60)


class Remembered:
    """The same results over an open connection: see `FileDigests.together`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._pending: list[tuple[str, str, str, str]] = []

    def of_file(self, path: Path) -> str:
        """As `FileDigests.of_file`."""
        return str(self.remember(path, "digest", lambda: digest_file(path)))

    def remember(self, path: Path, what: str, compute: Callable[[], Any]) -> Any:
        """As `FileDigests.remember`."""
        key, stamp = (str(path.resolve()), what), file_stamp(path)
        known = self._connection.execute(KNOWN, (*key, stamp)).fetchone()
        if known is not None:
            return json.loads(known[0])
        value = json.dumps(compute())
        self._pending.append((*key, stamp, value))
        if len(self._pending) >= FILES_WRITTEN_TOGETHER or path.stat().st_size >= BYTES_WORTH_WRITING:
            self.write()
        return json.loads(value)

    def write(self) -> None:
        """Bring what was computed to the disk."""
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?)", self._pending)
        self._pending.clear()


def file_stamp(path: Path) -> str:
    """Tell without reading it whether a file is still the same: size, both times of change and inode.

    The time of the last writing can be set back, as tools that copy do; that of the last change of any kind cannot.
    """
    stat = path.stat()
    return f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}:{stat.st_ino}"


def size_of_stamp(stamp: str) -> int:
    """How many bytes the file had that a stamp was made of."""
    return int(stamp.partition(":")[0])
