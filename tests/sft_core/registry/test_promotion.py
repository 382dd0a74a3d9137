"""When a version becomes champion: each rule, and the numbers that it rests on."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from sft_core.evaluation.paired_rows import PairedRows
from sft_core.registry.promotion import GateConfig, Standing, Verdict, decide, fewest_rows, force

LOSS = GateConfig()
ACCURACY = GateConfig(metric="exact_match", direction="maximize")
DIGESTS = {"data_digest": "d", "rows_digest": "r", "template_digest": "t", "tokenizer_digest": "k"}


def standing(score: float | None, version: str = "2", metric: str = "eval_loss", **others: Any) -> Standing:
    return Standing(version, {} if score is None else {metric: score}, **{**DIGESTS, **others})


def champion(score: float | None, **others: Any) -> Standing:
    return standing(score, "1", **others)


def losses(num_rows: int, gain: float, noise: float) -> PairedRows:
    """Losses of rows of one target each; the second's are less by `gain` give or take `noise`."""
    random = np.random.default_rng(0)
    before = random.gamma(4.0, 0.5, num_rows)
    drawn = random.normal(0.0, 1.0, num_rows)
    after = before - gain + noise * (drawn - drawn.mean())
    return PairedRows((before, np.ones(num_rows)), (after, np.ones(num_rows)))


def judged(gate: GateConfig, rows: PairedRows) -> Verdict:
    before, after = (numbers.sum() / weights.sum() for numbers, weights in (rows.first, rows.second))
    return decide(gate, standing(float(after)), champion(float(before)), rows)


@pytest.mark.parametrize(
    ("gate", "score", "before", "rule"),
    [
        (LOSS, 1.0, 2.0, "better"),
        (LOSS, 2.0, 2.0, "equal"),
        (LOSS, 3.0, 2.0, "worse"),
        (ACCURACY, 0.9, 0.8, "better"),
        (ACCURACY, 0.8, 0.8, "equal"),
        (ACCURACY, 0.7, 0.8, "worse"),
    ],
)
def test_only_a_better_version_takes_the_place_of_the_champion(
    gate: GateConfig, score: float, before: float, rule: str
) -> None:
    verdict = decide(gate, standing(score, metric=gate.metric), champion(before, metric=gate.metric))
    assert (verdict.rule, verdict.is_promoted) == (rule, rule == "better")
    assert "no evidence by row: decided by the numbers alone" in verdict.reason


@pytest.mark.parametrize(
    ("score", "rule"),
    [(None, "missing"), (math.nan, "not finite"), (math.inf, "not finite"), (-math.inf, "not finite")],
)
@pytest.mark.parametrize("has_champion", [True, False])
def test_a_version_without_a_finite_score_is_never_promoted(score: float | None, rule: str, has_champion: bool) -> None:
    verdict = decide(LOSS, standing(score), champion(2.0) if has_champion else None)
    assert (verdict.rule, verdict.is_promoted) == (rule, False)
    assert "nothing to promote on" in verdict.reason


def test_the_first_version_is_promoted_whatever_it_was_measured_on() -> None:
    verdict = decide(LOSS, Standing("1", {"eval_loss": 9.9}), None)
    assert (verdict.rule, verdict.is_promoted) == ("no champion", True)


@pytest.mark.parametrize("before", [None, math.nan])
def test_a_champion_without_a_score_stays(before: float | None) -> None:
    verdict = decide(LOSS, standing(0.1), champion(before))
    assert (verdict.rule, verdict.is_promoted) == ("champion unmeasured", False)


@pytest.mark.parametrize(
    ("digest", "rule", "field"),
    [
        ("data_digest", "other data", None),
        ("template_digest", "other template", "allow_other_template"),
        ("tokenizer_digest", "other tokenizer", "allow_other_tokenizer"),
    ],
)
@pytest.mark.parametrize("other", ["x", None])
def test_what_was_measured_otherwise_is_not_compared_unless_a_field_allows_it(
    digest: str, rule: str, field: str | None, other: str | None
) -> None:
    before = champion(2.0, **{digest: other})
    for one, two in ((standing(1.0), before), (standing(1.0, **{digest: other}), champion(2.0))):
        verdict = decide(LOSS, one, two)
        assert (verdict.rule, verdict.is_promoted) == (rule, False)
        assert ("unknown" if other is None else "x") in verdict.reason
    if field:
        assert decide(GateConfig(**{field: True}), standing(1.0), before).rule == "better"


def test_an_allowed_template_is_compared_on_the_same_rows_though_its_tokens_are_others() -> None:
    gate = GateConfig(allow_other_template=True)
    new = standing(1.0, template_digest="x", data_digest="x")
    assert decide(gate, new, champion(2.0)).rule == "better"
    assert decide(gate, new, champion(2.0, rows_digest="other")).rule == "other data"
    assert decide(gate, standing(1.0, data_digest="x"), champion(2.0)).rule == "other data", "the template is the same"


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
    assert decide(gate, standing(score), None).is_promoted is is_promoted


def test_a_version_that_beats_the_champion_can_still_miss_the_threshold() -> None:
    verdict = decide(GateConfig(threshold=1.0), standing(1.5), champion(2.0))
    assert (verdict.rule, verdict.is_promoted) == ("below threshold", False)
    assert verdict.reason == "eval_loss 1.5 misses the threshold 1 (minimize)"


@pytest.mark.parametrize(("score", "rule"), [(1.5, "small gain"), (1.25, "better")])
def test_a_smaller_gain_than_asked_for_is_not_enough(score: float, rule: str) -> None:
    assert decide(GateConfig(min_gain=0.5), standing(score), champion(2.0)).rule == rule


def test_a_gain_that_the_numbers_alone_would_promote_is_kept_back_as_noise() -> None:
    rows = losses(100, gain=0.05, noise=0.5)
    verdict = judged(LOSS, rows)
    assert (verdict.rule, verdict.is_promoted) == ("noise", False)
    assert verdict.gain is not None
    assert verdict.gain.value == pytest.approx(0.05)
    assert verdict.gain.low is not None
    assert verdict.gain.high is not None
    assert -0.1 < verdict.gain.low < 0 < 0.05 < verdict.gain.high < 0.2
    assert "noise within the interval" in verdict.reason
    assert f"{verdict.gain.low:.6g} to {verdict.gain.high:.6g} over 100 rows" in verdict.reason
    assert judged(GateConfig(confidence=None), rows).rule == "better", "the numbers alone"
    assert judged(GateConfig(confidence=0.5), rows).rule == "better", "less sure"


def test_the_same_gain_with_less_noise_is_promoted() -> None:
    verdict = judged(LOSS, losses(100, gain=0.05, noise=0.05))
    assert (verdict.rule, verdict.is_promoted) == ("better", True)
    assert verdict.gain is not None
    assert 0 < (verdict.gain.low or 0) < 0.05


def test_more_of_a_metric_is_a_gain_where_it_is_maximized() -> None:
    rows = losses(100, gain=0.05, noise=0.05)
    ups = PairedRows(rows.second, rows.first)
    verdict = decide(ACCURACY, standing(0.9, metric="exact_match"), champion(0.8, metric="exact_match"), ups)
    assert verdict.rule == "better"
    assert decide(ACCURACY, standing(0.9, metric="exact_match"), champion(0.8, metric="exact_match"), rows).rule == (
        "worse"
    ), "the rows that both have say so, whatever the scores over other rows are"


def test_a_sure_gain_has_to_be_worth_it_too() -> None:
    assert judged(GateConfig(min_gain=0.06), losses(100, gain=0.05, noise=0.01)).rule == "small gain"
    assert judged(GateConfig(min_gain=0.049), losses(100, gain=0.05, noise=0.1)).rule == "better", (
        "the interval has to lie above 0, not above min_gain"
    )


def test_equal_rows_are_equal() -> None:
    assert judged(LOSS, losses(50, gain=0.0, noise=0.0)).rule == "equal"


@pytest.mark.parametrize(("confidence", "fewest"), [(0.5, 2), (0.9, 5), (0.95, 6), (0.99, 8)])
def test_a_few_rows_that_all_got_better_may_be_chance(confidence: float, fewest: int) -> None:
    assert fewest_rows(confidence) == fewest
    gate = GateConfig(confidence=confidence)
    assert judged(gate, losses(fewest - 1, gain=0.5, noise=0.0)).rule == "too few rows"
    assert judged(gate, losses(fewest, gain=0.5, noise=0.0)).rule == "better"


def test_evidence_that_has_no_row_in_common_shows_nothing() -> None:
    nothing = (np.zeros(0), np.zeros(0))
    verdict = decide(LOSS, standing(1.0), champion(2.0), PairedRows(nothing, nothing))
    assert (verdict.rule, verdict.is_promoted) == ("too few rows", False)


def test_a_version_that_was_taken_back_needs_somebody_to_say_why() -> None:
    back = standing(1.0, rolled_back="2026-01-01 by me")
    verdict = decide(LOSS, back, champion(2.0))
    assert (verdict.rule, verdict.is_promoted) == ("rolled back", False)
    assert force(verdict, "mended the server").is_promoted


def test_the_champion_is_not_judged_against_itself() -> None:
    verdict = decide(LOSS, standing(2.0, "1"), champion(2.0))
    assert (verdict.rule, verdict.is_promoted) == ("is champion", False)
    assert force(verdict, "again") == verdict


def test_force_overrules_the_gate_and_keeps_what_it_said() -> None:
    verdict = decide(LOSS, standing(3.0), champion(2.0))
    forced = force(verdict, "users like it")
    assert forced.is_promoted
    assert (forced.rule, forced.forced) == ("worse", "users like it")
    assert forced.in_words.startswith("promoted: forced (users like it); the gate would have kept it back, worse: ")
    assert verdict.reason in forced.reason
    better = decide(LOSS, standing(1.0), champion(2.0))
    assert force(better, "why not") == better, "nothing was overruled"


def test_the_verdict_has_all_numbers_as_json() -> None:
    told = json.loads(json.dumps(judged(LOSS, losses(100, gain=0.05, noise=0.05)).as_json(), allow_nan=False))
    assert told["score"] == pytest.approx(told["champion_score"] - 0.05)
    assert told["gain"]["value"] == pytest.approx(0.05)
    assert told["gain"]["low"] < 0.05 < told["gain"]["high"]
    assert told["gain"]["num_rows"] == 100
    assert told["gate"] == LOSS.model_dump()
    assert told["champion"]["data_digest"] == told["version"]["data_digest"] == "d"
    unmeasured = decide(LOSS, standing(math.nan), dataclasses.replace(champion(math.inf)))
    assert json.loads(json.dumps(unmeasured.as_json(), allow_nan=False))["score"] is None
