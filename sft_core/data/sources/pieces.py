"""What is ingested at a time: a part of one file."""

import functools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sft_core.data.sources.config import SourceSpec
from sft_core.data.sources.cut import Range, cut_lines
from sft_core.data.sources.file_kind import LINE_FORMATS, Compression, FileFormat
from sft_core.errors import DataError
from sft_core.store.closure import own_code
from sft_core.store.file_digests import Remembered, file_stamp, size_of_stamp
from sft_core.store.fingerprint import digest_bytes

CHUNK_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one file that are ingested together: `shard_rows` of them where rows are lines and the file is not
    compressed, else all.

    Its identity is its bytes and how they are read; not where they lie, nor which of them will take part.
    """

    source: str
    number: int
    """Among the pieces of its file, from 0, so that a growing file renames no other's pieces."""
    path: Path
    file: str
    """The file's name below the source's folder."""
    file_format: FileFormat
    compression: Compression | None
    columns: dict[str, str]
    shard_rows: int
    digest: str
    """Of its bytes, as they lie on disk."""
    stamp: str
    """Of the file when it was digested: if it is another one when the piece is read, the digest is not its own."""
    range: Range | None = None
    """None: the whole file."""

    @property
    def name(self) -> str:
        """What its artifact is called, for example `gsm8k-00003`."""
        return f"{self.source}-{self.number:05d}"

    @property
    def members(self) -> tuple["Piece", ...]:
        """Itself, as a group names those that it consists of."""
        return (self,)

    @property
    def file_bytes(self) -> int:
        """Of its whole file, when it was digested."""
        return size_of_stamp(self.stamp)

    @property
    def first_row(self) -> int:
        """Of the piece, counted in its file from 0."""
        return self.range.first_row if self.range else 0

    @property
    def first_line(self) -> int:
        """Of the piece, counted in its file from 1."""
        return self.range.first_line if self.range else 1

    def fingerprint(self) -> dict[str, Any]:
        """All that decides the records."""
        return {
            "content": self.digest,
            "file_format": self.file_format,
            "compression": self.compression,
            "columns": self.columns,
            "shard_rows": self.shard_rows,
            "first_row": self.first_row,
            "first_line": self.first_line,
        }


def cut_file(
    path: Path,
    file: str,
    spec: SourceSpec,
    file_format: FileFormat,
    compression: Compression | None,
    digests: Remembered,
) -> tuple[Piece, ...]:
    """Cut one file into pieces and digest each, reading it only if it changed since the last time.

    Returns:
        The pieces in order; none if a file of lines has only blank ones.
    """

    def piece(number: int, digest: str, part: Range | None = None) -> Piece:
        return Piece(
            source=spec.source_name,
            number=number,
            path=path,
            file=file,
            file_format=file_format,
            compression=compression,
            columns=spec.columns,
            shard_rows=spec.shard_rows,
            digest=digest,
            stamp=stamp,
            range=part,
        )

    try:
        stamp = file_stamp(path)
        if compression is not None or file_format not in LINE_FORMATS:
            return (piece(0, digests.of_file(path)),)
        what = f"ranges of {spec.shard_rows} rows by {_cutting_code()}"
        ranges = digests.remember(path, what, lambda: list(_digested_ranges(path, spec.shard_rows)))
    except PermissionError as error:
        raise DataError(f"{path}: expected a file that can be read, found: {error.strerror}") from error
    return tuple(piece(number, digest, Range(**part)) for number, (digest, part) in enumerate(ranges))


@functools.cache
def _cutting_code() -> str:
    return own_code().closure(f"{__name__}:{_digested_ranges.__name__}").digest


def _digested_ranges(path: Path, shard_rows: int) -> Iterator[tuple[str, dict[str, int]]]:
    """Each range is digested right after its end was found, while its bytes are still in the system's memory."""
    with path.open("rb") as scanned, path.open("rb") as digested:
        for part in cut_lines(scanned, shard_rows):
            digested.seek(part.offset)
            sizes = (min(CHUNK_BYTES, part.num_bytes - position) for position in range(0, part.num_bytes, CHUNK_BYTES))
            yield digest_bytes(digested.read(size) for size in sizes), asdict(part)
