"""File formats and compressions by the names of files: `train.v2.jsonl.zst` is JSON Lines, compressed by Zstandard."""

from pathlib import Path
from typing import Literal

FileFormat = Literal["jsonl", "json", "csv", "tsv", "parquet", "arrow", "txt"]
Compression = Literal["gzip", "bz2", "xz", "zstd"]

ENDINGS: dict[str, FileFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".txt": "txt",
}
COMPRESSED_ENDINGS: dict[str, Compression] = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}
LINE_FORMATS: tuple[FileFormat, ...] = ("jsonl", "txt")
"""Formats with one row per line, whose files can be cut into pieces without being parsed."""


def compression_of(path: Path) -> Compression | None:
    """Return the compression that a file's last ending names; None if it names none that is known."""
    return COMPRESSED_ENDINGS.get(path.suffix.lower())


def format_of(path: Path) -> FileFormat | None:
    """Return the format that a file's ending before that of the compression names; None if the ending is unknown."""
    ending = Path(path.stem).suffix if compression_of(path) else path.suffix
    return ENDINGS.get(ending.lower())


def known_endings() -> str:
    """List the known endings for a message."""
    return f"{', '.join(sorted(ENDINGS))} (each may be followed by {', '.join(sorted(COMPRESSED_ENDINGS))})"
