"""Digests of files, remembered by path, size, time of change and inode, so that a second run does not read 100 GB
again."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Self

from sft_core.fingerprint import digest, digest_file


class FileDigests:
    """A small sqlite file with one line per file seen."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        with closing(self._connect()) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS digests (path TEXT PRIMARY KEY, stamp TEXT, digest TEXT)")

    @classmethod
    def below(cls, home: Path) -> Self:
        """The digests that all runs with this home remember."""
        return cls(home / "file-digests.sqlite")

    def of_file(self, path: Path) -> str:
        """Digest one file's bytes, reading it only if it changed since the last time."""
        path = path.resolve()
        stat = path.stat()
        stamp = f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}"
        with closing(self._connect()) as connection, connection:
            query = "SELECT digest FROM digests WHERE path = ? AND stamp = ?"
            known = connection.execute(query, (str(path), stamp)).fetchone()
            if known:
                return str(known[0])
            found = digest_file(path)
            connection.execute("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", (str(path), stamp, found))
            return found

    def of_folder(self, folder: Path, files: Iterable[Path]) -> str:
        """Digest some files of a folder, by their names in it and their bytes."""
        return digest({file.relative_to(folder).as_posix(): self.of_file(file) for file in sorted(files)})

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=60)
