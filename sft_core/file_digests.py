"""What was computed from a file, above all its digest, remembered by its path, size, times of change and inode, so that
a second run does not read 100 GB again."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self

from sft_core.fingerprint import digest, digest_file

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
        return str(self.remember(path, "digest", lambda: digest_file(path)))

    def of_files(self, paths: Sequence[Path]) -> list[str]:
        """Digest many files' bytes, as `of_file` does one's, without a transaction for each: 100,000 small ones take
        4 s of a core, and 3 s once they are known."""
        with closing(self._connect()) as connection:
            pending: list[tuple[str, str, str, str]] = []
            found = [self._known_or_pending(connection, path, pending) for path in paths]
            self._write(connection, pending)
        return found

    def _known_or_pending(self, connection: sqlite3.Connection, path: Path, pending: list[Any]) -> str:
        """Digest one file; what was not known waits in memory, so that nothing is locked while a large file is read."""
        key, stamp = (str(path.resolve()), "digest"), file_stamp(path)
        known = connection.execute(KNOWN, (*key, stamp)).fetchone()
        if known is not None:
            return str(json.loads(known[0]))
        computed = digest_file(path)
        pending.append((*key, stamp, json.dumps(computed)))
        if len(pending) >= FILES_WRITTEN_TOGETHER or path.stat().st_size >= BYTES_WORTH_WRITING:
            self._write(connection, pending)
        return computed

    def _write(self, connection: sqlite3.Connection, pending: list[Any]) -> None:
        with connection:
            connection.executemany("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?)", pending)
        pending.clear()

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
        key, stamp = (str(path.resolve()), what), file_stamp(path)
        with closing(self._connect()) as connection, connection:
            known = connection.execute(KNOWN, (*key, stamp)).fetchone()
            if known is None:
                known = (json.dumps(compute()),)
                connection.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?)", (*key, stamp, *known))
            return json.loads(known[0])

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=60)


def file_stamp(path: Path) -> str:
    """Tell without reading it whether a file is still the same: size, both times of change and inode.

    The time of the last writing can be set back, as tools that copy do; that of the last change of any kind cannot.
    """
    stat = path.stat()
    return f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}:{stat.st_ino}"
