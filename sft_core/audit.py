"""What has to be known of all rows together before they are packed: counted on every row, read from the indexes alone.

A shard cannot know whether a prompt of its rows is held out in another shard, nor a gate what share of all rows ends
without a stop token. The indexes of a million rows are 50 MB; the tokens stay where they are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sft_core.ledger import Ledger, Rejection
from sft_core.tables import read_table
from sft_core.tokens import CUT_TARGETS, NO_TARGET

WORST_ROWS = 3
MASKED = (NO_TARGET, CUT_TARGETS)
"""The reasons for which a row is rejected because no token of it is a target."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Rows (or tokens) of which something is true, and the first rows of them by name."""

    count: int
    worst: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Audit:
    """Counts over all rows of a data set."""

    ledger: Ledger
    rejected: Finding
    masked: Finding
    truncated: Finding
    """Tokens cut off; the rows that lost most first."""
    unstopped: Finding
    doubled_bos: Finding
    overlapping: Finding
    """Trained rows whose prompt is held out as well."""


def audit_rows(ledger: Ledger, rejections: Iterable[Rejection], indexes: Iterable[tuple[str, Path]]) -> Audit:
    """Count over all rows.

    Args:
        ledger: Of all shards.
        rejections: All rejected rows; read once, and few are kept.
        indexes: Source name and `index.arrow` of each shard.
    """
    rows = pa.concat_tables([_named(source, path) for source, path in indexes]).combine_chunks()
    is_train = pc.equal(rows["split"], "train").to_numpy()
    prompts = rows["prompt_id"].fill_null(0).to_numpy()
    cut = rows["tokens_truncated"].fill_null(0).to_numpy()
    rejected, masked = _first_places(rejections)
    return Audit(
        ledger=ledger,
        rejected=Finding(ledger.rows_rejected, rejected),
        masked=Finding(sum(ledger.rejected_by_reason.get(reason, 0) for reason in MASKED), masked),
        truncated=Finding(ledger.tokens_truncated, _finding(rows, cut > 0, order=-cut).worst),
        unstopped=_finding(rows, ~rows["ends_with_stop"].fill_null(True).to_numpy(zero_copy_only=False)),
        doubled_bos=_finding(rows, rows["has_doubled_bos"].fill_null(False).to_numpy(zero_copy_only=False)),
        overlapping=_finding(rows, is_train & np.isin(prompts, prompts[~is_train])),
    )


def _named(source: str, path: Path) -> pa.Table:
    table = read_table(path)
    return table.append_column("source", pa.repeat(source, len(table)))


def _first_places(rejections: Iterable[Rejection]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Where the first rejected rows stand, and the first of those that were rejected for want of a target."""
    rejected: list[str] = []
    masked: list[str] = []
    for rejection in rejections:
        for places, belongs in ((rejected, True), (masked, rejection.reason in MASKED)):
            if belongs and len(places) < WORST_ROWS:
                places.append(rejection.place)
    return tuple(rejected), tuple(masked)


def _finding(rows: pa.Table, is_found: npt.NDArray[np.bool_], order: npt.NDArray[np.int32] | None = None) -> Finding:
    found = np.flatnonzero(is_found)
    if order is not None:
        found = found[np.argsort(order[found], kind="stable")]
    worst = rows.take(found[:WORST_ROWS]).select(["source", "row"]).to_pylist()
    return Finding(len(found), tuple(f"{row['source']} row {row['row']}" for row in worst))
