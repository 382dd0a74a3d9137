"""Report of a sweep: a table of its trials, the best trial, and the command that runs that one again."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from pydantic import BaseModel

from flows.reports.links import run_url
from flows.triggers.trials import Trial
from sft_core.inspection.markdown import number, table
from sft_core.inspection.run_pages import interval
from sft_core.recipe import Recipe
from sft_core.recipe.sweep.goal import best_of
from sft_core.recipe.sweep.options import as_command, as_sets
from sft_core.registry.promotion import Direction, Verdict
from sft_core.store.artifact import ArtifactStore
from sft_core.store.durable import write_durably
from tasks.tracking import TrackedRun
from tasks.tracking.sweeps import as_csv, log_trials

FOLDER = "sweeps"


@dataclass(frozen=True, slots=True)
class Outcome:
    """All trials of a sweep, with the score that they are compared by."""

    sweep: str
    preset: str
    overrides: tuple[str, ...]
    metric: str
    direction: Direction
    trials: Sequence[Trial]

    @property
    def best(self) -> Trial | None:
        """Trial with the best score; None if all trials failed."""
        position = best_of([trial.score for trial in self.trials], self.direction)
        return None if position is None else self.trials[position]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of the table of trials: number, a column for each changed path, score, then the other results."""
        return [
            {
                "trial": trial.number,
                **trial.overrides,
                self.metric: trial.score,
                **trial.model_dump(exclude={"number", "overrides", "score"}),
            }
            for trial in self.trials
        ]

    @property
    def command(self) -> str:
        """Command that runs the best trial by itself."""
        return as_command(self.preset, [*self.overrides, *as_sets(self.best.overrides if self.best else {})])


class SweepReport(BaseModel):
    """Result of one sweep, as plain values."""

    status: str = "completed"
    sweep: str
    """Id of the sweep: the tag `sft.sweep` of its MLflow run and of the runs of its trials."""
    recipe: str
    metric: str
    direction: Direction
    trials: list[Trial]
    best: Trial
    command: str
    """Command that runs the best trial by itself; it reuses the data and the training of the trial."""
    is_champion: bool
    """True if the gate made the version of the best trial champion."""
    verdict: str
    mlflow_run_id: str
    tracking_uri: str
    mlflow_url: str | None
    table: Path
    """Path of `trials.csv`; `trials.json` is in the same folder."""


def record_sweep(outcome: Outcome, store: ArtifactStore, run: TrackedRun) -> None:
    """Write the table of trials to the state directory, to the sweep's MLflow run, and to the flow run's page."""
    folder = store.root / FOLDER / outcome.sweep
    folder.mkdir(parents=True, exist_ok=True)
    rows, best = outcome.rows, outcome.best
    write_durably(folder / "trials.csv", as_csv(rows).encode())
    write_durably(folder / "trials.json", json.dumps({"trials": rows}, indent=1).encode())
    log_trials(run, rows, best.mlflow_run_id if best else None)
    create_table_artifact(rows, key="sft-sweep-trials", description=f"Trials of sweep {outcome.sweep}")


def report_sweep(
    outcome: Outcome, recipe: Recipe, store: ArtifactStore, run: TrackedRun, verdict: Verdict | None
) -> SweepReport:
    """Describe a sweep in MLflow and in Prefect, and return its report.

    Args:
        outcome: The trials; at least one of them has a score.
        recipe: The recipe of the first trial.
        store: Store in the state directory.
        run: MLflow run of the sweep.
        verdict: Decision of the gate on the best trial's version; None if the gate was not asked.
    """
    assert outcome.best is not None
    report = SweepReport(
        sweep=outcome.sweep,
        recipe=recipe.name,
        metric=outcome.metric,
        direction=outcome.direction,
        trials=list(outcome.trials),
        best=outcome.best,
        command=outcome.command,
        is_champion=verdict is not None and verdict.is_champion,
        verdict=verdict.in_words if verdict else "the gate was not asked (`registry.promote`)",
        mlflow_run_id=run.run_id,
        tracking_uri=run.tracking_uri,
        mlflow_url=run_url(run.tracking_uri, run.experiment_id, run.run_id),
        table=store.root / FOLDER / outcome.sweep / "trials.csv",
    )
    markdown = as_markdown(report)
    run.describe(markdown)
    create_markdown_artifact(markdown, key="sft-sweep", description=f"Result of the sweep of {recipe.name}")
    return report


def as_markdown(report: SweepReport) -> str:
    """Return the report as Markdown, with the best trial first."""
    factor = 1 if report.direction == "minimize" else -1
    ranked = sorted(report.trials, key=lambda trial: (trial.score is None, factor * (trial.score or 0.0)))
    headers = ["trial", "overrides", report.metric, "95 % interval", "eval_loss", "seconds", "MLflow run", "error"]
    rows = [
        [
            trial.number,
            "<br>".join(f"`{one}`" for one in as_sets(trial.overrides)),
            number(trial.score),
            _interval(trial),
            number(trial.loss),
            number(trial.seconds),
            trial.mlflow_run_id or "–",
            (trial.error or "").partition("\n")[0],
        ]
        for trial in ranked
    ]
    return f"""Trial {report.best.number} is the best of {len(report.trials)}: {report.metric} \
{number(report.best.score)} ({report.direction}). Model `{report.best.model_uri}`, {report.verdict}.

```sh
{report.command}
```

{table(headers, rows)}
"""


def _interval(trial: Trial) -> str:
    known = {} if trial.low is None or trial.high is None else {"score": {"low": trial.low, "high": trial.high}}
    return interval(known, "score")
