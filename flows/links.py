"""Where people look at a run: its pages in MLflow and in Prefect, which link to each other."""

import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from prefect.artifacts import create_link_artifact, create_markdown_artifact

from tasks.tracking import TrackedRun

TRAINING_VIEW = "workflowType=machine_learning"
"""Without it MLflow opens its pages for prompts and agents, which show no curves."""


def run_path(experiment_id: str, run_id: str, artifact: str = "") -> str:
    """The run's page, or that of one of its artifacts, below the address of any MLflow server."""
    below = f"/artifacts/{artifact}" if artifact else ""
    return f"#/experiments/{experiment_id}/runs/{run_id}{below}?{TRAINING_VIEW}"


def run_url(tracking_uri: str, experiment_id: str, run_id: str) -> str | None:
    """The run's page on its server, without a password that the address may hold; None of a database, which has no
    pages."""
    parts = urlsplit(tracking_uri)
    if parts.scheme not in ("http", "https"):
        return None
    server = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
    return f"{server}/{run_path(experiment_id, run_id)}"


def ui_command(tracking_uri: str) -> str:
    """What starts MLflow's pages over a database."""
    return f"{Path(sys.executable).parent}/mlflow ui --backend-store-uri {tracking_uri}"


def how_to_open(tracking_uri: str, experiment_id: str, run_id: str) -> str:
    """In Markdown: the link to the run's page, or the command that makes one."""
    url = run_url(tracking_uri, experiment_id, run_id)
    if url is not None:
        return f"[MLflow run]({url})"
    page = f"http://127.0.0.1:5000/{run_path(experiment_id, run_id)}"
    return f"MLflow run `{run_id}`: `{ui_command(tracking_uri)}` shows it at <{page}>"


def link_run(run: TrackedRun) -> None:
    """Show on the flow run's page in Prefect where its MLflow run is, from its first minute on."""
    description = "Parameters, data, metrics and model of this flow run."
    url = run_url(run.tracking_uri, run.experiment_id, run.run_id)
    if url is not None:
        create_link_artifact(url, link_text="MLflow run", key="mlflow-run", description=description)
    else:
        words = how_to_open(run.tracking_uri, run.experiment_id, run.run_id)
        create_markdown_artifact(words, key="mlflow-run", description=description)
