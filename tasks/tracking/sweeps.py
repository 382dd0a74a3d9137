"""A sweep in MLflow: a run of its own, with the table of its trials, above the runs of the trials.

A trial's run is a run like any other, opened wherever the trial is trained; it is found by its key afterwards, so that
a trial that failed, or was trained elsewhere, is found as well. It gets `mlflow.parentRunId`, by which MLflow's pages
nest it, and `sft.sweep`, by which searches find all of one sweep. A run that several sweeps share belongs to the last.
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
    """Say that a run is a sweep, and which."""
    run.set_tags({KIND: "sweep", SWEEP: sweep, "mlflow.source.name": "flows.sweep"})


def name_trial(run: TrackedRun, sweep: str, run_key: str) -> str | None:
    """Put the run of a trial below its sweep.

    Args:
        run: The sweep's.
        sweep: Its id.
        run_key: Of the trial.

    Returns:
        The id of the trial's run, the newest of this key; None if it came to no run.
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
    """Lay the table of all trials beside a sweep's run, over that of an earlier start of the same sweep.

    Args:
        run: The sweep's.
        trials: One a row, of the same columns.
        best_run: The id of the best trial's run.
    """
    run.post(lambda: run.client.log_dict(run.run_id, {"trials": [dict(trial) for trial in trials]}, f"{TABLE}.json"))
    run.post(lambda: run.client.log_text(run.run_id, as_csv(trials), f"{TABLE}.csv"))
    if best_run is not None:
        run.set_tags({BEST_RUN: best_run})


def as_csv(trials: Sequence[Mapping[str, Any]]) -> str:
    """The table as text, with a line of names."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(trials[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(trials)
    return text.getvalue()
