"""Measurements of each kept row, for packing, for the gates, and for the report of a run."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sft_core.data.tokens.encode import Encoder
from sft_core.data.tokens.rows import Bools, Ints, MaskedRows
from sft_core.data.tokens.truncate import Cut


@dataclass(frozen=True, slots=True)
class RowAudit:
    """Columns with one value per kept row, most of them columns of `INDEX`."""

    tokens: Ints
    targets: Ints
    """Number of targets after the shift by one."""
    tokens_truncated: Ints
    targets_truncated: Ints
    ends_with_stop: Bools
    """True if the last target, apart from white space, is a token at which generation can stop. (Templates put a line
    break after the end token of a turn.)"""
    has_doubled_bos: Bools
    """True if the row begins with two beginning tokens."""
    has_restored_end: Bools
    """True if truncation replaced the last token by the row's end token."""

    @classmethod
    def of(cls, encoder: Encoder, cut: Cut) -> "RowAudit":
        """Measure the kept rows after truncation."""
        rows = cut.rows
        last_target = rows.last((rows.loss_mask > 0) & ~encoder.is_blank[rows.input_ids])
        return cls(
            tokens=rows.lengths,
            targets=rows.num_targets,
            tokens_truncated=cut.num_tokens,
            targets_truncated=cut.num_targets,
            ends_with_stop=(last_target >= 0) & np.append(encoder.is_stop[rows.input_ids], False)[last_target],
            has_doubled_bos=_begin_twice(rows, encoder.frame.bos_token_id),
            has_restored_end=cut.has_restored_end,
        )

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the columns that `INDEX` has."""
        names = ("tokens", "targets", "tokens_truncated", "ends_with_stop", "has_doubled_bos")
        return {name: getattr(self, name) for name in names}

    def counts(self) -> dict[str, int]:
        """Return the sums over all rows, which can be added up over shards."""
        return {
            "rows": len(self.tokens),
            "targets": int(self.targets.sum()),
            "rows_truncated": int((self.tokens_truncated > 0).sum()),
            "targets_truncated": int(self.targets_truncated.sum()),
            "rows_without_stop": int((~self.ends_with_stop).sum()),
            "rows_with_doubled_bos": int(self.has_doubled_bos.sum()),
            "rows_with_restored_end": int(self.has_restored_end.sum()),
        }


def _begin_twice(rows: MaskedRows, bos_token_id: int | None) -> Bools:
    if bos_token_id is None:
        return np.zeros(len(rows), np.bool_)
    ids = np.append(rows.input_ids, [-1, -1])
    first = rows.offsets[:-1]
    begins_twice: Bools = (ids[first] == bos_token_id) & (ids[first + 1] == bos_token_id) & (rows.lengths > 1)
    return begins_twice
