"""What a file's name says about how to read it: `train.v2.jsonl.zst` is JSON Lines, compressed by Zstandard."""

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
"""A row a line, so that a file can be cut into pieces without being parsed."""


def compression_of(path: Path) -> Compression | None:
    """Tell how a file is compressed by its last ending."""
    return COMPRESSED_ENDINGS.get(path.suffix.lower())


def format_of(path: Path) -> FileFormat | None:
    """Tell the format by the ending before that of the compression; None if it is not one that we know."""
    ending = Path(path.stem).suffix if compression_of(path) else path.suffix
    return ENDINGS.get(ending.lower())


def known_endings() -> str:
    """List them for people."""
    return f"{', '.join(sorted(ENDINGS))} (each may be followed by {', '.join(sorted(COMPRESSED_ENDINGS))})"
