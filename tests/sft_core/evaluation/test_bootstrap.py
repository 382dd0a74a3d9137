"""Intervals that hold the truth as often as they say, and see a gain that only pairing shows."""

import numpy as np
import pytest

from sft_core.evaluation.bootstrap import paired_gain, score_interval


def test_an_interval_of_a_mean_is_that_of_the_central_limit_theorem() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    found = score_interval(values, np.ones(400))
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_it_holds_the_truth_as_often_as_it_says() -> None:
    """Losses of rows of unequal lengths: a ratio, whose truth is 2."""
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        tokens = random.integers(1, 50, 60).astype(float)
        losses = tokens * random.gamma(4.0, 0.5, 60)
        found = score_interval(losses, tokens)
        hits += found.low <= 2.0 <= found.high
    assert 175 <= hits <= 199


def test_pairing_shows_a_gain_that_is_smaller_than_the_spread_of_the_rows() -> None:
    random = np.random.default_rng(2)
    hard, ones = random.normal(0.0, 10.0, 300), np.ones(300)
    better = hard + 0.1 + random.normal(0.0, 0.2, 300)
    gain = paired_gain((hard, ones), (better, ones))
    assert gain.value == pytest.approx((better - hard).mean())
    assert 0 < gain.low < gain.value < gain.high < 0.2
    assert score_interval(better, ones).low < hard.mean() < score_interval(better, ones).high


def test_the_same_seed_draws_the_same_and_many_rows_are_drawn_in_parts() -> None:
    values = np.random.default_rng(3).random(10_000)
    assert score_interval(values, np.ones(10_000)) == score_interval(values, np.ones(10_000))


def test_one_row_has_no_spread() -> None:
    found = score_interval(np.array([3.0]), np.array([2.0]))
    assert (found.value, found.low, found.high) == (1.5, 1.5, 1.5)
