"""Groups of small files that are ingested together, so that 100,000 files of one row do not become 100,000 artifacts
per stage.

    a.jsonl  b.jsonl  c.jsonl │ d.jsonl  e.jsonl │ big.jsonl │ f.jsonl …        │ a group's border

Borders depend on content, not on counting: a file of `n` bytes ends its group if its digest modulo `GROUP_BYTES` is
below `n + FILE_BYTES`. A file that is changed, added or removed can therefore move the border after it and no other:
its own group is made anew, and at most one neighbour. A group has on average at most 512 files and 1 MiB. (Only a run
of `MOST_FILES` files without such an end is cut by counting. This happens in one group of 3,000, or if all files are
alike.)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sft_core.data.sources.pieces import FilePiece

FEWEST_FILES = 256
"""Number of files from which on a source is grouped. With fewer files, each has a piece of its own: their artifacts
cost little, and each file is cached separately."""
GROUP_BYTES = 1 << 20
"""Size from which on a file is not grouped."""
FILE_BYTES = GROUP_BYTES // 512
"""Bytes that a file counts in addition to its size."""
MOST_FILES = 4096
DIGITS = 15
"""Number of hexadecimal digits of a digest that decide whether a group ends."""


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive whole files of a source that are read in the same way. A group is identified by their bytes."""

    members: tuple[FilePiece, ...]
    """Two or more pieces, one for each file."""

    @property
    def name(self) -> str:
        """Name of its artifact."""
        return self.members[0].name

    def fingerprint(self) -> dict[str, Any]:
        """Return everything that decides the records."""
        first = self.members[0].fingerprint()
        return {**first, "content": [member.digest for member in self.members]}


def group_files(files: Sequence[tuple[FilePiece, ...]]) -> tuple[FilePiece | Group, ...]:
    """Group consecutive small files of a source.

    Args:
        files: The pieces of each file of the source, in order.

    Returns:
        Pieces and groups, in the order of the files.
    """
    if len(files) < FEWEST_FILES:
        return tuple(piece for pieces in files for piece in pieces)
    return tuple(_grouped(files))


def _grouped(files: Sequence[tuple[FilePiece, ...]]) -> Iterator[FilePiece | Group]:
    waiting: list[FilePiece] = []
    for pieces in files:
        is_small = len(pieces) == 1 and pieces[0].file_bytes < GROUP_BYTES
        if waiting and pieces and not (is_small and _is_read_alike(waiting[0], pieces[0])):
            yield _together(waiting)
            waiting = []
        if not is_small:
            yield from pieces
            continue
        waiting.append(pieces[0])
        if _ends_group(pieces[0]) or len(waiting) == MOST_FILES:
            yield _together(waiting)
            waiting = []
    if waiting:
        yield _together(waiting)


def _ends_group(piece: FilePiece) -> bool:
    return int(piece.digest[:DIGITS], 16) % GROUP_BYTES < piece.file_bytes + FILE_BYTES


def _is_read_alike(one: FilePiece, other: FilePiece) -> bool:
    return (one.file_format, one.compression) == (other.file_format, other.compression)


def _together(pieces: list[FilePiece]) -> FilePiece | Group:
    return Group(tuple(pieces)) if len(pieces) > 1 else pieces[0]
