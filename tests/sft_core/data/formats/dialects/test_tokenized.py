"""Rows of token ids: every mask that is there counts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.store.records import TokenExample
from tests.sft_core.data.formats.rows import Fields, example_of, reason

IDS = [5, 6, 7, 8]


@pytest.mark.parametrize(
    ("more", "loss_mask"),
    [
        ({}, (1, 1, 1, 1)),
        ({"labels": None, "completion_mask": None}, (1, 1, 1, 1)),
        ({"labels": [-100, -100, 7, 8]}, (0, 0, 1, 1)),
        ({"labels": [-100] * 4}, (0, 0, 0, 0)),
        ({"completion_mask": [0, 1, 1, 1]}, (0, 1, 1, 1)),
        ({"assistant_masks": [1, 1, 0, 0]}, (1, 1, 0, 0)),
        ({"completion_mask": [False, True, True, True]}, (0, 1, 1, 1)),
        ({"completion_mask": [0, 1, 1, 1], "assistant_masks": [1, 1, 0, 1]}, (0, 1, 0, 1)),
        ({"labels": [-100, 6, 7, -100], "completion_mask": [0, 1, 0, 1]}, (0, 1, 0, 0)),
        ({"attention_mask": [1, 1, 1, 1], "text": "ignored"}, (1, 1, 1, 1)),
    ],
)
def test_a_token_is_a_target_if_everything_given_says_so(more: Fields, loss_mask: tuple[int, ...]) -> None:
    assert example_of({"input_ids": IDS, **more}) == TokenExample(tuple(IDS), loss_mask)


@pytest.mark.parametrize(
    ("attention_mask", "ids"),
    [([1, 1, 0, 0], (5, 6)), ([0, 1, 1, 0], (6, 7)), ([0, 0, 0, 1], (8,))],
)
def test_padding_is_cut_off(attention_mask: list[int], ids: tuple[int, ...]) -> None:
    row = {"input_ids": IDS, "attention_mask": attention_mask, "labels": [5, 6, 7, 8]}
    assert example_of(row) == TokenExample(ids, (1,) * len(ids))


@pytest.mark.parametrize("labels", [[6, 7, 8, -100], [-100, 7, 8, -100], [-100, 7, 8, 2]])
def test_labels_that_are_shifted_already_are_called_so(labels: list[int]) -> None:
    expected = "`labels` are shifted by one already; expected each in the place of its own token"
    assert reason({"input_ids": IDS, "labels": labels}) == expected


def test_labels_that_are_other_tokens_are_refused() -> None:
    expected = "`labels` differ from `input_ids` where they are not -100"
    assert reason({"input_ids": IDS, "labels": [-100, 6, 9, 8]}) == expected
    assert reason({"input_ids": IDS, "labels": [-1, 6, 7, 8]}) == expected


@given(rows=st.lists(st.tuples(st.integers(0, 2**31 - 1), st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_labels_and_the_mask_they_mean_are_the_same_row(rows: list[tuple[int, bool, bool]]) -> None:
    ids = [token for token, _, _ in rows]
    masks: dict[str, Any] = {"assistant_masks": [int(other) for _, _, other in rows]}
    labels = [token if is_target else -100 for token, is_target, _ in rows]
    as_labels = {"input_ids": ids, "labels": labels, **masks}
    as_masks = {"input_ids": ids, "completion_mask": [int(is_target) for _, is_target, _ in rows], **masks}
    assert example_of(as_labels) == example_of(as_masks)
