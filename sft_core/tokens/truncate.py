"""Cut rows to a number of tokens.

row        [5 6 7 8 9]   mask [0 0 1 1 1]   limit 3
keep_start [5 6 7]            [0 0 1]        with `keep_end_token` [5 6 9]: 9 is the end token that was cut off
keep_end       [7 8 9]            [1 1 1]
drop       nothing here: rows that are too long are rejected whole
"""

from dataclasses import dataclass

import numpy as np

from sft_core.tokens.config import TokensConfig
from sft_core.tokens.rows import Bools, Ints, MaskedRows


@dataclass(frozen=True, slots=True)
class Cut:
    """Rows after the cut, and what it took."""

    rows: MaskedRows
    num_tokens: Ints
    """[rows] tokens cut off."""
    num_targets: Ints
    """[rows] targets cut off, counted after the shift by one."""
    has_restored_end: Bools
    """[rows] whether the last token kept is the row's end token again."""

    def gather(self, numbers: Ints) -> "Cut":
        """Only some of the rows."""
        return Cut(
            self.rows.gather(numbers),
            self.num_tokens[numbers],
            self.num_targets[numbers],
            self.has_restored_end[numbers],
        )


def cut_rows(config: TokensConfig, rows: MaskedRows, limits: Ints, is_stop: Bools) -> Cut:
    """Cut rows that are longer than their limit.

    Args:
        config: The `tokens` section.
        rows: Whole rows.
        limits: [rows] tokens that each may have.
        is_stop: [ids] whether generation can stop at a token.
    """
    lengths = np.minimum(rows.lengths, limits)
    num_cut = rows.lengths - lengths
    if not num_cut.any():
        return Cut(rows, num_cut, num_cut, num_cut > 0)
    starts = num_cut if config.truncation_mode == "keep_end" else np.zeros_like(num_cut)
    kept = rows.gather(np.arange(len(rows)), starts, lengths)
    has_restored_end = num_cut < 0
    if config.keep_end_token:
        has_restored_end = _restore_ends(rows, kept, num_cut > 0, is_stop)
    return Cut(kept, num_cut, rows.num_targets - kept.num_targets, has_restored_end)


def _restore_ends(rows: MaskedRows, kept: MaskedRows, is_cut: Bools, is_stop: Bools) -> Bools:
    """Where a target was cut short, put the stop token that was the row's last target in place of the last one kept."""
    last_target = rows.last(rows.loss_mask > 0)
    end_token = rows.input_ids[last_target]
    last_kept = kept.offsets[1:] - 1
    restored = is_cut & (kept.lengths > 0) & (last_target >= 0)
    restored[restored] = (kept.loss_mask[last_kept[restored]] > 0) & is_stop[end_token[restored]]
    kept.input_ids[last_kept[restored]] = end_token[restored]
    return restored
