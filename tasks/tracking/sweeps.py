"""Sweeps in MLflow: a sweep is a run of its own with the table of its trials, and is the parent of the trials' runs.

The run of a trial is an ordinary run, which is opened by the process that trains it. The sweep finds it by its run key
afterwards, so that trials that failed or were trained on another machine are found as well. It then gets the tag
`mlflow.parentRunId`, by which MLflow's pages nest it, and the tag `sft.sweep`, by which searches find all runs of a
sweep. A run that several sweeps share belongs to the last one.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from mlflow.entities import RunTag

from tasks.tracking.tracked_run import TrackedRun
from tasks.tracking.tracker import RUN_KEY

KIND, SWEEP, BEST_RUN = "sft.kind", "sft.sweep", "sft.best_run"
PARENT = "mlflow.parentRunId"
TABLE = "trials"


def begin_sweep(run: TrackedRun, sweep: str) -> None:
    """Tag a run as a sweep with the given id."""
    run.set_tags({KIND: "sweep", SWEEP: sweep, "mlflow.source.name": "flows.sweep"})


def name_trial(run: TrackedRun, sweep: str, run_key: str) -> str | None:
    """Make the run of a trial a child of its sweep.

    Args:
        run: The run of the sweep.
        sweep: Id of the sweep.
        run_key: Run key of the trial.

    Returns:
        The id of the newest run with this key; None if the trial opened no run.
    """
    found = run.client.search_runs(
        [run.experiment_id], f"tags.`{RUN_KEY}` = '{run_key}'", max_results=1, order_by=["attributes.start_time DESC"]
    )
    if not found:
        return None
    trial = str(found[0].info.run_id)
    run.client.log_batch(trial, tags=[RunTag(SWEEP, sweep), RunTag(PARENT, run.run_id)])
    return trial


def log_trials(run: TrackedRun, trials: Sequence[Mapping[str, Any]], best_run: str | None) -> None:
    """Log the table of all trials as artifacts of the sweep's run; this replaces the table of an earlier start.

    Args:
        run: The run of the sweep.
        trials: One row for each trial; all rows have the same columns.
        best_run: Id of the best trial's run; None if there is no best trial.
    """
    run.post(lambda: run.client.log_dict(run.run_id, {"trials": [dict(trial) for trial in trials]}, f"{TABLE}.json"))
    run.post(lambda: run.client.log_text(run.run_id, as_csv(trials), f"{TABLE}.csv"))
    if best_run is not None:
        run.set_tags({BEST_RUN: best_run})


def as_csv(trials: Sequence[Mapping[str, Any]]) -> str:
    """Return the table as CSV with a header line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(trials[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(trials)
    return text.getvalue()
