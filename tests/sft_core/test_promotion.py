"""When a new version becomes champion."""

import math

import pytest

from sft_core.promotion import GateConfig, decide

LOSS = GateConfig()
ACCURACY = GateConfig(metric="exact_match", direction="maximize")


@pytest.mark.parametrize(
    ("gate", "score", "champion", "is_promoted"),
    [
        (LOSS, 1.0, 2.0, True),
        (LOSS, 2.0, 2.0, False),
        (LOSS, 3.0, 2.0, False),
        (ACCURACY, 0.9, 0.8, True),
        (ACCURACY, 0.8, 0.8, False),
        (ACCURACY, 0.7, 0.8, False),
    ],
    ids=["lower loss", "equal loss", "higher loss", "better accuracy", "equal accuracy", "worse accuracy"],
)
def test_only_a_better_version_takes_the_place_of_the_champion(
    gate: GateConfig, score: float, champion: float, is_promoted: bool
) -> None:
    assert decide(gate, score, champion, has_champion=True).is_promoted is is_promoted


@pytest.mark.parametrize("score", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("has_champion", [True, False])
def test_a_version_without_a_finite_score_is_never_promoted(score: float | None, has_champion: bool) -> None:
    verdict = decide(LOSS, score, 2.0, has_champion)
    assert not verdict.is_promoted
    assert "nothing to promote on" in verdict.reason


def test_the_first_version_is_promoted() -> None:
    assert decide(LOSS, 9.9, None, has_champion=False).is_promoted


@pytest.mark.parametrize("champion", [None, math.nan])
def test_a_champion_that_was_not_measured_on_this_data_stays(champion: float | None) -> None:
    verdict = decide(LOSS, 0.1, champion, has_champion=True)
    assert not verdict.is_promoted
    assert "not measured" in verdict.reason


@pytest.mark.parametrize(
    ("direction", "score", "is_promoted"),
    [
        ("minimize", 0.9, True),
        ("minimize", 1.0, True),
        ("minimize", 1.1, False),
        ("maximize", 1.1, True),
        ("maximize", 0.9, False),
    ],
)
def test_the_threshold_holds_for_the_first_version_too(direction: str, score: float, is_promoted: bool) -> None:
    gate = GateConfig(direction=direction, threshold=1.0)
    assert decide(gate, score, None, has_champion=False).is_promoted is is_promoted


def test_a_version_that_beats_the_champion_can_still_miss_the_threshold() -> None:
    verdict = decide(GateConfig(threshold=1.0), 1.5, 2.0, has_champion=True)
    assert verdict == type(verdict)(False, "eval_loss 1.5 misses the threshold 1 (minimize)")


@pytest.mark.parametrize(("score", "is_promoted"), [(1.5, False), (1.25, True)])
def test_a_smaller_gain_than_asked_for_is_not_enough(score: float, is_promoted: bool) -> None:
    assert decide(GateConfig(min_gain=0.5), score, 2.0, has_champion=True).is_promoted is is_promoted


def test_the_reason_has_the_numbers() -> None:
    assert (
        decide(LOSS, 1.5, 2.0, True).reason == "eval_loss 1.5 against the champion's 2 (gain 0.5, needed more than 0)"
    )
