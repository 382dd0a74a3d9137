"""Small files that are ingested together, so that 100,000 files of one row do not become 100,000 artifacts a stage.

    a.jsonl  b.jsonl  c.jsonl │ d.jsonl  e.jsonl │ big.jsonl │ f.jsonl …        │ a group's border

Borders are told by content, not by counting: a file of `n` bytes ends its group if its digest modulo `GROUP_BYTES` is
below `n + FILE_BYTES`. So a file that is changed, added or removed can move the border behind it and no other: its own
group is made anew, and at most one beside it. A group has on average at most 512 files and 1 MiB. (Only a
run of `MOST_FILES` without such an end is cut by counting: one group in 3,000, or files that are all alike.)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sft_core.data.sources.pieces import Piece

FEWEST_FILES = 256
"""A source of fewer files has a piece for each: their artifacts cost little, and each file is cached by itself."""
GROUP_BYTES = 1 << 20
"""A file at least as large stays alone."""
FILE_BYTES = GROUP_BYTES // 512
"""What a file counts beside its bytes."""
MOST_FILES = 4096
DIGITS = 15
"""Of a digest, in base 16: all that decides a border."""


@dataclass(frozen=True, slots=True)
class Group:
    """Whole files that follow each other in a source and are read in the same way. It is known by their bytes."""

    members: tuple[Piece, ...]
    """Two or more."""

    @property
    def name(self) -> str:
        """What its artifact is called."""
        return self.members[0].name

    def fingerprint(self) -> dict[str, Any]:
        """All that decides the records."""
        first = self.members[0].fingerprint()
        return {**first, "content": [member.digest for member in self.members]}


def group_files(files: Sequence[tuple[Piece, ...]]) -> tuple[Piece | Group, ...]:
    """Put small files together.

    Args:
        files: The pieces of each file of a source, in order.

    Returns:
        Pieces and groups, in the order of the files.
    """
    if len(files) < FEWEST_FILES:
        return tuple(piece for pieces in files for piece in pieces)
    return tuple(_grouped(files))


def _grouped(files: Sequence[tuple[Piece, ...]]) -> Iterator[Piece | Group]:
    waiting: list[Piece] = []
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


def _ends_group(piece: Piece) -> bool:
    return int(piece.digest[:DIGITS], 16) % GROUP_BYTES < piece.file_bytes + FILE_BYTES


def _is_read_alike(one: Piece, other: Piece) -> bool:
    return (one.file_format, one.compression) == (other.file_format, other.compression)


def _together(pieces: list[Piece]) -> Piece | Group:
    return Group(tuple(pieces)) if len(pieces) > 1 else pieces[0]
