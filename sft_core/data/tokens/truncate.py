"""Truncate rows to a number of tokens.

row        [5 6 7 8 9]   mask [0 0 1 1 1]   limit 3
keep_start [5 6 7]            [0 0 1]        with `keep_end_token` [5 6 9]: 9 is the end token that was cut off
keep_end       [7 8 9]            [1 1 1]
drop       the whole row is rejected elsewhere

Truncation inside of an image removes the whole image:

row        [5 i i i 9]   limit 3     keep_start [5]     keep_end [9]
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sft_core.data.tokens.config import TokensConfig
from sft_core.data.tokens.rows import Bools, Ints, MaskedRows


@dataclass(frozen=True, slots=True)
class Cut:
    """Rows after truncation, and the amount that it removed."""

    rows: MaskedRows
    num_tokens: Ints
    """[rows] number of tokens removed."""
    num_targets: Ints
    """[rows] number of targets removed, counted after the shift by one."""
    has_restored_end: Bools
    """[rows] True if the last kept token was replaced by the row's end token."""

    def gather(self, numbers: Ints) -> "Cut":
        """Return the rows with these numbers."""
        return Cut(
            self.rows.gather(numbers),
            self.num_tokens[numbers],
            self.num_targets[numbers],
            self.has_restored_end[numbers],
        )


def cut_rows(config: TokensConfig, rows: MaskedRows, limits: Ints, is_stop: Bools) -> Cut:
    """Truncate the rows that are longer than their limit.

    Args:
        config: The recipe's `tokens` section.
        rows: Rows before truncation.
        limits: [rows] maximum number of tokens.
        is_stop: [ids] True for tokens at which generation can stop.
    """
    lengths = np.minimum(rows.lengths, limits)
    num_cut = rows.lengths - lengths
    if not num_cut.any():
        return Cut(rows, num_cut, num_cut, num_cut > 0)
    keeps_end = config.truncation_mode == "keep_end"
    if rows.images is not None:
        num_cut = num_cut + _rest_of_image(rows, rows.images, lengths, num_cut, keeps_end)
        lengths = rows.lengths - num_cut
    starts = num_cut if keeps_end else np.zeros_like(num_cut)
    kept = rows.gather(np.arange(len(rows)), starts, lengths)
    has_restored_end = num_cut < 0
    if config.keep_end_token:
        has_restored_end = _restore_ends(rows, kept, num_cut > 0, is_stop)
    return Cut(kept, num_cut, rows.num_targets - kept.num_targets, has_restored_end)


def _rest_of_image(
    rows: MaskedRows, images: npt.NDArray[np.int32], lengths: Ints, num_cut: Ints, keeps_end: bool
) -> Ints:
    """[rows] Return the number of tokens that a cut inside of an image would keep of that image; otherwise 0."""
    # positions at which another image, text, or another row begins
    edges = np.union1d(np.flatnonzero(np.diff(images, prepend=-1)), rows.offsets)
    cut = rows.offsets[:-1] + (num_cut if keeps_end else lengths)
    behind, before = np.append(images, 0)[cut], np.append(images, 0)[cut - 1]
    is_inside = (num_cut > 0) & (lengths > 0) & (behind > 0) & (before == behind)
    at = np.searchsorted(edges, cut, side="right")
    kept = edges[np.minimum(at, len(edges) - 1)] - cut if keeps_end else cut - edges[at - 1]
    return np.where(is_inside, kept, 0)


def _restore_ends(rows: MaskedRows, kept: MaskedRows, is_cut: Bools, is_stop: Bools) -> Bools:
    """Replace the last kept token, if it is a target, by the row's last target, if that is a stop token.

    Args:
        rows: Rows before truncation.
        kept: Rows after truncation; changed in place.
        is_cut: [rows] True for truncated rows.
        is_stop: [ids] True for tokens at which generation can stop.

    Returns:
        [rows] True for the rows that were changed.
    """
    last_target = rows.last(rows.loss_mask > 0)
    end_token = rows.input_ids[last_target]
    last_kept = kept.offsets[1:] - 1
    restored = is_cut & (kept.lengths > 0) & (last_target >= 0)
    restored[restored] = (kept.loss_mask[last_kept[restored]] > 0) & is_stop[end_token[restored]]
    kept.input_ids[last_kept[restored]] = end_token[restored]
    return restored
