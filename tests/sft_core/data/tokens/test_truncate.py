"""Rows are cut at the start, at the end, or not at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.data.tokens import MaskedRows, TokensConfig
from sft_core.data.tokens.truncate import Cut, cut_rows

STOP = 9
ROW = ([5, 6, 7, 8, STOP], [0, 0, 1, 1, 1])


def cut(ids: list[int], mask: list[int], limit: int, **config: object) -> Cut:
    is_stop = np.arange(10) == STOP
    return cut_rows(TokensConfig(**config), MaskedRows.of([ids], [mask]), np.array([limit]), is_stop)


def ids_and_mask(result: Cut) -> tuple[list[int], list[int]]:
    return result.rows[0].input_ids, result.rows[0].loss_mask


def test_the_start_is_kept() -> None:
    assert ids_and_mask(cut(*ROW, 3)) == ([5, 6, 7], [0, 0, 1])


def test_the_end_is_kept() -> None:
    assert ids_and_mask(cut(*ROW, 3, truncation_mode="keep_end")) == ([7, 8, STOP], [1, 1, 1])


@pytest.mark.parametrize("limit", [5, 6, 2**60])
def test_a_row_that_fits_is_whole(limit: int) -> None:
    result = cut(*ROW, limit, keep_end_token=True)
    assert ids_and_mask(result) == ROW
    assert not result.has_restored_end.any()


def test_what_was_cut_is_counted() -> None:
    """Of the two targets that stay at the end, nothing predicts the first."""
    for mode, targets in (("keep_start", 2), ("keep_end", 1)):
        result = cut(*ROW, 3, truncation_mode=mode)
        assert (result.num_tokens.tolist(), result.num_targets.tolist()) == ([2], [targets])


def test_an_answer_that_was_cut_short_gets_its_end_token_back() -> None:
    result = cut(*ROW, 4, keep_end_token=True)
    assert ids_and_mask(result) == ([5, 6, 7, STOP], [0, 0, 1, 1])
    assert result.has_restored_end.all()


def test_what_follows_the_rows_end_token_does_not_matter() -> None:
    assert cut([5, 7, 8, STOP, 3], [0, 1, 1, 1, 0], 3, keep_end_token=True).rows[0].input_ids == [5, 7, STOP]


def test_a_row_that_is_cut_in_a_question_gets_none() -> None:
    result = cut(*ROW, 2, keep_end_token=True)
    assert (result.rows[0].input_ids, result.has_restored_end.any()) == ([5, 6], False)


def test_a_row_that_did_not_learn_to_stop_gets_none() -> None:
    assert cut([5, 6, 7, 8], [0, 1, 1, 1], 3, keep_end_token=True).rows[0].input_ids == [5, 6, 7]


MASKS = st.lists(st.lists(st.integers(0, 1), max_size=9), min_size=1, max_size=6)


@given(masks=MASKS, limit=st.integers(1, 10), keep_end=st.booleans())
def test_rows_are_cut_as_lists_are(masks: list[list[int]], limit: int, keep_end: bool) -> None:
    ids = [[10 * row + at for at in range(len(mask))] for row, mask in enumerate(masks)]
    config = TokensConfig(truncation_mode="keep_end" if keep_end else "keep_start")
    rows = cut_rows(config, MaskedRows.of(ids, masks), np.full(len(ids), limit), np.zeros(100, bool)).rows
    expected = [slice(-limit, None) if keep_end else slice(limit)] * len(ids)
    assert [row.input_ids for row in rows] == [row[part] for row, part in zip(ids, expected, strict=True)]
    assert [row.loss_mask for row in rows] == [row[part] for row, part in zip(masks, expected, strict=True)]


@given(masks=MASKS)
def test_targets_are_counted_after_the_shift(masks: list[list[int]]) -> None:
    rows = MaskedRows.of(masks, masks)
    assert rows.num_targets.tolist() == [sum(mask[1:]) for mask in masks]
    last = rows.last(rows.loss_mask > 0)
    ends = [max((at for at, value in enumerate(mask) if value), default=None) for mask in masks]
    assert last.tolist() == [
        -1 if end is None else end + start for end, start in zip(ends, rows.offsets.tolist(), strict=False)
    ]
