r"""Cut a file of lines into ranges of whole rows, without parsing it.

    shard_rows 2:   {"a": 1}\n \n {"a": 2}\n {"a": 3}\n \n     →   bytes 0-18, rows 0-1, lines 1-3
                                                                   bytes 19-27, row 2, line 4

A row is a line that is not blank. A range begins right after the line break that ended the previous range, and ends
with the last byte of its last row, without its line break. Appending rows to a file therefore does not change the bytes
of any full range, whether or not the file ended in a line break. Neither does a blank line at the end.

Measured on one core with the file in memory, digests not counted: 3 GB/s for lines of 700 bytes, 2 GB/s for lines of
40 bytes, and 0.1 GB/s if every line begins with a blank (numpy over 4 MiB at a time).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt

CHUNK_BYTES = 1 << 22
UTF8_BOM = b"\xef\xbb\xbf"
LINE_FEED = ord("\n")
SPACE = ord(" ")


@dataclass(frozen=True, slots=True)
class Range:
    """Consecutive rows of a file."""

    offset: int
    num_bytes: int
    first_row: int
    """Number of its first row in the file, from 0."""
    first_line: int
    """Number of its first line in the file, from 1; this line may be blank."""
    rows: int


def cut_lines(stream: IO[bytes], shard_rows: int) -> Iterator[Range]:
    """Yield ranges of `shard_rows` rows, the last one with the remaining rows, each as soon as its end was read."""
    head = stream.read(len(UTF8_BOM))
    start = len(UTF8_BOM) if head == UTF8_BOM else 0
    stream.seek(start)
    first_row, first_line, rows_left = 0, 1, shard_rows
    last_end = start
    for ends, lines in _row_ends(stream, start):
        while len(ends) >= rows_left:
            last_end = int(ends[rows_left - 1])
            yield Range(start, last_end - start, first_row, first_line, shard_rows)
            start, first_line, first_row = last_end + 1, int(lines[rows_left - 1]) + 1, first_row + shard_rows
            ends, lines, rows_left = ends[rows_left:], lines[rows_left:], shard_rows
        rows_left -= len(ends)
        last_end = int(ends[-1]) if len(ends) else last_end
    if rows_left < shard_rows:
        yield Range(start, last_end - start, first_row, first_line, shard_rows - rows_left)


Positions = npt.NDArray[np.int64]


def _row_ends(stream: IO[bytes], offset: int) -> Iterator[tuple[Positions, Positions]]:
    """Yield for each chunk the offsets in the file at which rows end (those of the line breaks), and their lines."""
    line, is_row_begun = 0, False
    while chunk := stream.read(CHUNK_BYTES):
        content = np.frombuffer(chunk, np.uint8)
        ends = np.flatnonzero(content == LINE_FEED)
        if len(ends) == 0:
            is_row_begun = is_row_begun or bool(chunk.strip())
        else:
            is_row = _are_rows(chunk, content, ends)
            is_row[0] |= is_row_begun
            yield ends[is_row] + offset, np.flatnonzero(is_row) + line + 1
            line += len(ends)
            is_row_begun = bool(chunk[int(ends[-1]) + 1 :].strip())
        offset += len(chunk)
    if is_row_begun:  # the last line has no line break
        yield np.array([offset]), np.array([line + 1])


def _are_rows(chunk: bytes, content: npt.NDArray[np.uint8], ends: Positions) -> npt.NDArray[np.bool_]:
    """Return which lines are not blank. Most begin with a visible byte; only the others are examined one by one."""
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
    is_row: npt.NDArray[np.bool_] = content[starts] > SPACE
    for index in np.flatnonzero(~is_row & (starts < ends)):
        is_row[index] = bool(chunk[starts[index] : ends[index]].strip())
    return is_row
