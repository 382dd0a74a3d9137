"""Sums by segment and by source against sums that can be checked by eye."""

import torch

from sft_core.modeling import sum_by_segment, sum_by_source

LOSSES = torch.tensor([1.0, 2.0, 3.0, 4.0])
NUM_TARGETS = torch.tensor([2, 0, 1, 1])


def test_losses_are_summed_by_segment() -> None:
    assert sum_by_segment(LOSSES, None, NUM_TARGETS).tolist() == [[3.0, 0.0, 3.0, 4.0], [2.0, 0.0, 1.0, 1.0]]


def test_weights_are_summed_beside_losses_that_have_them_already() -> None:
    weights = torch.tensor([0.5, 1.0, 0.0, 2.0])
    sums = sum_by_segment(LOSSES * weights, weights, NUM_TARGETS)
    assert sums.tolist() == [[2.5, 0.0, 0.0, 8.0], [1.5, 0.0, 0.0, 2.0]]


def test_segments_are_summed_by_source_and_a_nan_stays_in_its_own() -> None:
    by_segment = sum_by_segment(torch.tensor([1.0, 2.0, torch.nan, 4.0]), None, NUM_TARGETS)
    losses, weights = sum_by_source(by_segment, torch.tensor([0, 1, 1, 0]), 2)
    assert losses[0] == 7.0
    assert losses[1].isnan()
    assert weights.tolist() == [3.0, 1.0]
    assert sum_by_source(by_segment, torch.tensor([0, 1, 1, 0]), 0).shape == (2, 0)
