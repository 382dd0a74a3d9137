"""What people read after an evaluation."""

import io
from pathlib import Path
from typing import Any

from flows.reports.score_report import Comparison, ScoreReport
from sft_cli.evaluating import show_gains, show_scores
from sft_cli.printing import plain_console
from sft_core.evaluation.gains import ScoreGain

LEDGER = {f"rows_{fate}": 25 for fate in ("in", "held_out", "trained", "rejected", "left_out")}


def report(scorecard: dict[str, float], intervals: dict[str, dict[str, float]]) -> ScoreReport:
    places: dict[str, Any] = dict.fromkeys(
        ("samples", "scored_items", "eval_dataset", "report", "model_dir"), Path("x")
    )
    return ScoreReport(
        name="questions",
        model="models:/m@champion",
        model_id=None,
        mlflow_run_id="r",
        tracking_uri="http://tracker",
        experiment_id="1",
        scorecard=scorecard,
        intervals=intervals,
        ledger={**LEDGER, "tokens_truncated": 3},
        eval_dataset_digest="d",
        artifacts={},
        stages={},
        **places,
    )


def lines(show: Any, what: Any) -> list[str]:
    out = io.StringIO()
    show(plain_console(file=out, width=80), what)
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


SCORES = {"eval_mean_token_accuracy": 0.5, "eval_loss": 1.25, "num_prompts": 5.0}


def test_each_score_stands_with_its_interval() -> None:
    shown = lines(show_scores, report(SCORES, {"eval_loss": {"low": 1.0, "high": 1.5}}))
    start = shown.index("score value 95 % interval")
    assert shown[start + 1 : start + 3] == ["eval_mean_token_accuracy 0.5000 –", "eval_loss 1.2500 1.0000 to 1.5000"]
    assert not [line for line in shown if "num_prompts" in line], "a number of prompts is no score"
    assert any("3 tokens cut off" in line for line in shown)


def test_a_gain_has_a_sign_and_losses_over_other_tokens_have_none() -> None:
    gains = {"eval_mean_token_accuracy": ScoreGain(value=-0.25, low=-0.375, high=0.125, num_rows=20)}
    compared = Comparison(model=report(SCORES, {}), against=report({**SCORES, "eval_loss": 2.0}, {}), gains=gains)
    shown = lines(show_gains, compared)
    assert "eval_mean_token_accuracy 0.5000 0.5000 -0.2500 -0.3750 to +0.1250" in shown
    assert "eval_loss 2.0000 1.2500 – –" in shown
    assert any("losses per token are not compared" in line for line in shown)
