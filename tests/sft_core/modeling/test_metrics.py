"""Sums over tokens: no mean of means."""

import math

from sft_core.modeling.metrics import TokenSums


def test_sums_of_parts_are_the_sums_of_the_whole() -> None:
    long, short = (
        TokenSums(loss=9.0, entropy=3.0, correct=1.0, targets=3.0, weight=3.0),
        TokenSums(loss=1.0, entropy=1.0, correct=1.0, targets=1.0, weight=1.0),
    )
    assert (long + short).means() == {
        "loss": 2.5,
        "entropy": 1.0,
        "mean_token_accuracy": 0.5,
    }  # a mean of means would be loss 2.0


def test_names_can_get_a_prefix() -> None:
    assert TokenSums(loss=1.0, targets=1.0, weight=1.0).means("eval_") == {
        "eval_loss": 1.0,
        "eval_entropy": 0.0,
        "eval_mean_token_accuracy": 0.0,
    }


def test_without_a_target_there_is_no_mean() -> None:
    assert all(math.isnan(mean) for mean in TokenSums().means().values())


def test_the_loss_is_the_weighted_mean_and_the_others_count_each_target_once() -> None:
    half = TokenSums(loss=1.0, entropy=4.0, correct=1.0, targets=2.0, weight=0.5)
    assert half.means() == {"loss": 2.0, "entropy": 2.0, "mean_token_accuracy": 0.5}


def test_the_likelihood_is_told_where_the_loss_is_another() -> None:
    sums = TokenSums(loss=1.0, targets=2.0, weight=2.0, nll=6.0)
    assert "nll" not in sums.means()
    assert sums.means(is_likelihood=False)["nll"] == 3.0
