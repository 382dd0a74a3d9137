"""What people read after a run."""

import io
import sys
from pathlib import Path

import pytest

from flows.reports.run_report import RunReport
from sft_cli.printing import plain_console
from sft_cli.summary import show_run

LEDGER = {
    f"{what}_{fate}": 1
    for what in ("rows", "tokens")
    for fate in ("in", "trained", "held_out", "rejected", "left_out", "truncated")
}


def shown(
    scorecard: dict[str, float],
    intervals: dict[str, dict[str, float]] | None = None,
    tracking_uri: str = "http://tracker",
) -> list[str]:
    report = RunReport(
        status="completed",
        recipe="islands",
        mlflow_run_id="r",
        tracking_uri=tracking_uri,
        mlflow_url=None,
        experiment_id="1",
        model_uri="models:/islands/1",
        model_dir=Path("model"),
        is_champion=True,
        verdict="there was no champion",
        resumed_from=20,
        training={
            "global_step": 1500,
            "num_tokens": 20813,
            "seconds": 12.4,
            "num_parameters": 557184,
            "num_trained_parameters": 4096,
            "attn_implementation": "varlen",
            "padding_free": True,
        },
        scorecard=scorecard,
        intervals=intervals or {},
        ledger={**LEDGER, "rejected_by_reason": {}},
        rejected=Path("rejected.jsonl"),
        report=Path("report.html"),
        artifacts={},
        stages={"train_model": "executed"},
    )
    out = io.StringIO()
    show_run(plain_console(file=out, width=200), report, Path("home"))
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_all_scores_are_shown_those_of_answers_first_and_the_settings_of_a_sweep_below_them() -> None:
    scores = {
        "eval_loss": 1.0,
        "eval_entropy": 2.0,
        "eval_mean_token_accuracy": 0.5,
        "eval_perplexity": 2.7,
        "f1/temperature:0.5": 0.25,
        "f1": 0.25,
        "reward": -3.0,
        "num_prompts": 16,
        "num_prompts_cut": 0,
        "baseline_f1": 0.125,
        "baseline_eval_loss": 7.0,
    }
    lines = shown(scores, {"eval_loss": {"low": 0.75, "high": 1.5}, "f1": {"low": 0.0, "high": 0.5}})
    start = lines.index("score before after training 95 % interval")
    assert lines[start + 1 : start + 6] == [
        "f1 0.1250 0.2500 0.0000 to 0.5000",
        "reward – -3.0000 –",
        "f1/temperature:0.5 – 0.2500 –",
        "eval_loss 7.0000 1.0000 0.7500 to 1.5000",
        "eval_mean_token_accuracy – 0.5000 –",
    ]


def test_what_training_was_is_told() -> None:
    lines = shown({"eval_loss": 1.0})
    assert "training was resumed from step 20" in lines
    assert (
        "training 1,500 steps over 20,813 tokens in 12 s; 4,096 of 557,184 parameters trained; attention varlen, "
        "without padding"
    ) in lines


def test_one_command_shows_both_pages_of_a_run_that_used_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    programs = Path(sys.executable).parent
    page = "http://127.0.0.1:5000/#/experiments/1/runs/r?workflowType=machine_learning"
    lines = shown({"eval_loss": 1.0}, tracking_uri="sqlite:///home/mlflow.db")
    assert lines[lines.index("MLflow run r") + 1 :][:3] == [
        f"SFT_HOME=home {programs}/sft up --detach",
        page,
        "http://127.0.0.1:4200/runs",
    ]
    elsewhere = shown({"eval_loss": 1.0}, tracking_uri="sqlite:///other.db")
    assert f"{programs}/mlflow ui --backend-store-uri sqlite:///other.db" in elsewhere
