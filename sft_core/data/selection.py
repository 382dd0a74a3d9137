"""Which rows of a source take part, decided row by row: by a hash of the row, a seed and a limit.

Each row has a digest of its number in its file and of its record. Mixed with a seed, the first 64 bits of it are the
row's *draw*, evenly spread over 0 … 2^64 - 1. A row is kept if its draw is below a limit:

    fraction 0.25        limit 2^62, whatever the other rows are: a row stays drawn when others are appended
    max_rows 1000        limit = the 1001st smallest draw of the source: exactly 1000 rows

The digests do not hang on the seed, so they are made once, when a source is read, and any selection is a comparison.
"""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sft_core.data.mixing import mix
from sft_core.store.parts import Part, rows_in_files
from sft_core.store.records import Selection

NUM_DRAWS = 1 << 64
DIGEST_BYTES = 16
Hashes = npt.NDArray[np.uint64]
"""[rows]"""


def row_digest(row: int, record: bytes) -> bytes:
    """Digest one row: 16 bytes over its number in its file and its record."""
    return hashlib.blake2b(b"%d " % row + record, digest_size=DIGEST_BYTES).digest()


def hashes_of(digests: Iterable[bytes]) -> Hashes:
    """The first 64 bits of each digest."""
    return np.frombuffer(b"".join(digests), "<u8")[:: DIGEST_BYTES // 8].astype(np.uint64)


def draws(hashes: Hashes, seed: int) -> Hashes:
    """Mix a seed into hashes: other numbers for another seed, and never one number for two hashes."""
    key = hashlib.blake2b(b"%d" % seed, digest_size=8).digest()
    return mix(hashes ^ np.frombuffer(key, "<u8").astype(np.uint64))


def are_selected(selection: Selection | None, hashes: Hashes) -> npt.NDArray[np.bool_]:
    """Tell for each hash whether its row takes part; [rows]."""
    if selection is None or selection.below >= NUM_DRAWS:
        return np.ones(len(hashes), np.bool_)
    drawn = draws(hashes, selection.seed)
    below = np.uint64(selection.below)
    mask: npt.NDArray[np.bool_] = drawn < below
    mask[np.flatnonzero(drawn == below)[: selection.at_limit]] = True
    return mask


def select_rows(selection: Selection | None, table: pa.Table, parts: Sequence[Part] = ()) -> pa.Table:
    """Keep the rows of a shard's table with the columns `row` and `record` that take part."""
    if selection is None:
        return table
    rows = rows_in_files(parts, table["row"].to_numpy())
    numbered = zip(rows.tolist(), table["record"].cast(pa.large_binary()).to_pylist(), strict=True)
    mask = are_selected(selection, hashes_of(row_digest(row, record) for row, record in numbered))
    return table.filter(pa.array(mask))


def limit_of_fraction(fraction: float | None) -> int:
    """The limit below which a share of all draws lies."""
    return NUM_DRAWS if fraction is None else round(fraction * NUM_DRAWS)


def limits_of_rows(drawn: Sequence[Hashes], max_rows: int, limit: int) -> list[int]:
    """The limit of each shard of a source, so that `max_rows` of the rows whose draw is below `limit` are kept.

    It is one number for all, the draw after the last one kept; except that rows which are equal, at equal places of
    two files, have equal draws: where not all of those can be kept, the first shards keep theirs.

    Args:
        drawn: The draws of each shard's rows.
        max_rows: How many rows of all shards to keep; all if there are no more.
        limit: Rows from here on are not to be kept in any case.
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
