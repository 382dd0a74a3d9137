"""Pieces: parts of files, or whole files, that are ingested and cached as a unit."""

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
class FilePiece:
    """Rows of one file that are ingested together: `shard_rows` rows if rows are lines and the file is not compressed,
    else all rows.

    Its identity consists of its bytes and the way in which they are read. Its path and the rows that will be used do
    not matter.
    """

    source: str
    number: int
    """Position among the pieces of its file, from 0, so that a growing file does not rename the pieces of others."""
    path: Path
    file: str
    """Name of the file, relative to the source's folder."""
    file_format: FileFormat
    compression: Compression | None
    columns: dict[str, str]
    shard_rows: int
    digest: str
    """Digest of its bytes as stored on disk."""
    stamp: str
    """Stamp of the file when it was digested. If the stamp differs when the piece is read, the digest is outdated."""
    range: Range | None = None
    """Range of the file that the piece consists of; None for the whole file."""

    @property
    def name(self) -> str:
        """Name of its artifact, for example `gsm8k-00003`."""
        return f"{self.source}-{self.number:05d}"

    @property
    def members(self) -> tuple["FilePiece", ...]:
        """The piece itself, so that it can be used like a group."""
        return (self,)

    @property
    def file_bytes(self) -> int:
        """Number of bytes of its whole file when it was digested."""
        return size_of_stamp(self.stamp)

    @property
    def first_row(self) -> int:
        """Number of the piece's first row in its file, from 0."""
        return self.range.first_row if self.range else 0

    @property
    def first_line(self) -> int:
        """Number of the piece's first line in its file, from 1."""
        return self.range.first_line if self.range else 1

    def fingerprint(self) -> dict[str, Any]:
        """Return everything that decides the records."""
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
) -> tuple[FilePiece, ...]:
    """Cut one file into pieces and digest each, reading it only if it changed since the last time.

    Returns:
        The pieces in order; empty if all lines of the file are blank.
    """

    def piece(number: int, digest: str, part: Range | None = None) -> FilePiece:
        return FilePiece(
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
    """Yield the digest and the fields of each range. A range is digested right after its end was found, while its bytes
    are still in the page cache of the operating system."""
    with path.open("rb") as scanned, path.open("rb") as digested:
        for part in cut_lines(scanned, shard_rows):
            digested.seek(part.offset)
            sizes = (min(CHUNK_BYTES, part.num_bytes - position) for position in range(0, part.num_bytes, CHUNK_BYTES))
            yield digest_bytes(digested.read(size) for size in sizes), asdict(part)
