"""Selection of the rows of a source that are used, decided row by row from a hash of the row, a seed and a limit.

Each row has a digest of its number in its file and of its record. The first 64 bits of the digest, mixed with a seed,
are the row's *draw*, evenly spread over 0 … 2^64 - 1. A row is kept if its draw is below a limit:

    fraction 0.25        limit 2^62, whatever the other rows are: a row stays drawn when others are appended
    max_rows 1000        limit = the 1001st smallest draw of the source: exactly 1000 rows

The digests do not depend on the seed. They are computed once, when a source is read, and every selection is then a
comparison of numbers.
"""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sft_core.data.draw import mix
from sft_core.store.parts import Part, rows_in_files
from sft_core.store.records import Selection

NUM_DRAWS = 1 << 64
DIGEST_BYTES = 16
Hashes = npt.NDArray[np.uint64]
"""[rows] One unsigned number of 64 bits for each row."""


def row_digest(row: int, record: bytes) -> bytes:
    """Return a digest of one row: 16 bytes over its number in its file and its record."""
    return hashlib.blake2b(b"%d " % row + record, digest_size=DIGEST_BYTES).digest()


def hashes_of(digests: Iterable[bytes]) -> Hashes:
    """Return the first 64 bits of each digest."""
    return np.frombuffer(b"".join(digests), "<u8")[:: DIGEST_BYTES // 8].astype(np.uint64)


def draws(hashes: Hashes, seed: int) -> Hashes:
    """Mix a seed into hashes. Another seed gives other numbers, and two different hashes never give the same number."""
    key = hashlib.blake2b(b"%d" % seed, digest_size=8).digest()
    return mix(hashes ^ np.frombuffer(key, "<u8").astype(np.uint64))


def are_selected(selection: Selection | None, hashes: Hashes) -> npt.NDArray[np.bool_]:
    """Return for each hash whether its row is used; [rows]."""
    if selection is None or selection.below >= NUM_DRAWS:
        return np.ones(len(hashes), np.bool_)
    drawn = draws(hashes, selection.seed)
    below = np.uint64(selection.below)
    mask: npt.NDArray[np.bool_] = drawn < below
    mask[np.flatnonzero(drawn == below)[: selection.at_limit]] = True
    return mask


def select_rows(selection: Selection | None, table: pa.Table, parts: Sequence[Part] = ()) -> pa.Table:
    """Return the selected rows of a shard's table, which must have the columns `row` and `record`."""
    if selection is None:
        return table
    rows = rows_in_files(parts, table["row"].to_numpy())
    numbered = zip(rows.tolist(), table["record"].cast(pa.large_binary()).to_pylist(), strict=True)
    mask = are_selected(selection, hashes_of(row_digest(row, record) for row, record in numbered))
    return table.filter(pa.array(mask))


def limit_of_fraction(fraction: float | None) -> int:
    """Return the limit below which this share of all possible draws is."""
    return NUM_DRAWS if fraction is None else round(fraction * NUM_DRAWS)


def limits_of_rows(drawn: Sequence[Hashes], max_rows: int, limit: int) -> list[int]:
    """Return the limit of each shard of a source such that `max_rows` of the rows whose draw is below `limit` are kept.

    The limit is the last draw that is kept, plus 1 for the shard whose row has this draw. Equal rows at the same
    position of two files have equal draws. If not all of those can be kept, the first shards keep theirs.

    Args:
        drawn: The draws of each shard's rows.
        max_rows: Number of rows of all shards to keep; all rows are kept if there are no more.
        limit: Rows with a draw of at least this are never kept.
    """
    together = np.concatenate(drawn) if drawn else np.empty(0, np.uint64)
    if limit < NUM_DRAWS:
        together = together[together < np.uint64(limit)]
    if len(together) <= max_rows:
        return [limit] * len(drawn)
    last = np.partition(together, max_rows - 1)[max_rows - 1]
    room = max_rows - int((together < last).sum())
    limits = []
    for shard in drawn:
        equal = int((shard == last).sum())
        limits.append(int(last) + (0 < equal <= room))
        room -= min(equal, room)
    return limits
