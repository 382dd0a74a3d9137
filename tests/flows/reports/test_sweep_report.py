"""The table of a sweep, with a trial that failed in it."""

from pathlib import Path

from flows.reports.sweep_report import Outcome, SweepReport, as_markdown
from flows.triggers.trials import Trial
from tasks.tracking.sweeps import as_csv

RATE = "training.learning_rate"
TRIALS = [
    Trial(number=1, overrides={RATE: 0.1}, status="failed", error="RecipeError: no | such\nthing"),
    Trial(number=2, overrides={RATE: 0.01}, status="completed", score=0.5, low=0.25, high=0.75, loss=2.0, seconds=9.0),
    Trial(
        number=3,
        overrides={RATE: 0.001},
        status="completed",
        score=0.75,
        loss=3.0,
        seconds=8.0,
        model_uri="models:/m/2",
    ),
]
OUTCOME = Outcome("abc", "recipe.yaml", ("tokens.max_length=64",), "exact_match", "maximize", TRIALS)


def test_a_failed_trial_is_in_the_table_and_never_the_best() -> None:
    assert OUTCOME.best is TRIALS[2]
    lines = as_csv(OUTCOME.rows).splitlines()
    assert lines[0].startswith(f"trial,{RATE},exact_match,status,low,high,loss,seconds,")
    assert lines[1].startswith("1,0.1,,failed,")
    assert [row["exact_match"] for row in OUTCOME.rows] == [None, 0.5, 0.75]
    assert Outcome("abc", "recipe.yaml", (), "exact_match", "minimize", TRIALS).best is TRIALS[1]
    assert Outcome("abc", "recipe.yaml", (), "exact_match", "minimize", TRIALS[:1]).best is None


def test_the_command_runs_the_best_trial_with_what_all_trials_have() -> None:
    assert OUTCOME.command == f"sft run recipe.yaml --set tokens.max_length=64 --set {RATE}=0.001"


def test_the_page_ranks_the_trials_and_shows_the_error_in_a_line() -> None:
    page = as_markdown(
        SweepReport(
            sweep="abc",
            recipe="sums",
            metric="exact_match",
            direction="maximize",
            trials=TRIALS,
            best=TRIALS[2],
            command=OUTCOME.command,
            is_champion=True,
            verdict="promoted: better",
            mlflow_run_id="0" * 32,
            tracking_uri="sqlite:///mlflow.db",
            mlflow_url=None,
            table=Path("trials.csv"),
        )
    )
    expected = "Trial 3 is the best of 3: exact_match 0.75 (maximize). Model `models:/m/2`, promoted: better."
    assert page.startswith(expected)
    rows = [line for line in page.splitlines() if line.startswith("| ")][2:]
    assert [row.split(" | ")[0] for row in rows] == ["| 3", "| 2", "| 1"]
    assert "0.25 to 0.75" in rows[1]
    assert rows[2].endswith("| RecipeError: no \\| such |")
