"""What is found out about each row that is kept, for packing, for the gates, and for the reader of a run."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sft_core.data.tokens.encode import Encoder
from sft_core.data.tokens.rows import Bools, Ints, MaskedRows
from sft_core.data.tokens.truncate import Cut


@dataclass(frozen=True, slots=True)
class RowAudit:
    """Columns of `INDEX`, one value a kept row."""

    tokens: Ints
    targets: Ints
    """After the shift by one."""
    tokens_truncated: Ints
    targets_truncated: Ints
    ends_with_stop: Bools
    """Whether the last target, white space aside, is a token at which generation can stop. (Templates put a line break
    behind the end token of a turn.)"""
    has_doubled_bos: Bools
    has_restored_end: Bools

    @classmethod
    def of(cls, encoder: Encoder, cut: Cut) -> "RowAudit":
        """Look at the rows that are kept, after the cut."""
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
        """Those that `INDEX` has."""
        names = ("tokens", "targets", "tokens_truncated", "ends_with_stop", "has_doubled_bos")
        return {name: getattr(self, name) for name in names}

    def counts(self) -> dict[str, int]:
        """Sums, which can be added up over shards."""
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
    """[rows] whether a row begins with two beginning tokens."""
    if bos_token_id is None:
        return np.zeros(len(rows), np.bool_)
    ids = np.append(rows.input_ids, [-1, -1])
    first = rows.offsets[:-1]
    begins_twice: Bools = (ids[first] == bos_token_id) & (ids[first + 1] == bos_token_id) & (rows.lengths > 1)
    return begins_twice
