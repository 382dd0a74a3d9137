"""Where people look at a run: its pages in MLflow and in Prefect, which link to each other."""

import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from prefect.artifacts import create_markdown_artifact

from sft_core.inspection import REPORT_FILE
from tasks.tracking import TrackedRun
from tasks.tracking.provenance import prefect_page

TRAINING_VIEW = "workflowType=machine_learning"
"""Without it MLflow opens its pages for prompts and agents, which show no curves."""


def run_path(experiment_id: str, run_id: str, artifact: str = "") -> str:
    """The run's page, or that of one of its artifacts, below the address of any MLflow server."""
    below = f"/artifacts/{artifact}" if artifact else ""
    return f"#/experiments/{experiment_id}/runs/{run_id}{below}?{TRAINING_VIEW}"


def run_url(tracking_uri: str, experiment_id: str, run_id: str, artifact: str = "") -> str | None:
    """The run's page on its server, or that of one of its artifacts; None of a database, which has no pages."""
    server = _server(tracking_uri)
    return None if server is None else f"{server}/{run_path(experiment_id, run_id, artifact)}"


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
    """Show on the flow run's page in Prefect where its MLflow run is, and the other way round, from the first minute
    on."""
    words = how_to_open(run.tracking_uri, run.experiment_id, run.run_id)
    data_report = run_url(run.tracking_uri, run.experiment_id, run.run_id, REPORT_FILE)
    if data_report is not None:
        words += f" · [data report]({data_report}), once the data is prepared"
    description = "Parameters, data, metrics and model of this flow run"
    create_markdown_artifact(words, key="mlflow-run", description=description)
    if not run.is_finished and (page := prefect_page()) is not None:
        run.describe(f"[Prefect run]({page}): how far it is, its log, and why it ended if it did not get to its end.")


def version_link(tracking_uri: str, name: str, version: str) -> str:
    """In Markdown: a registered version, with a link where a server shows it."""
    server = _server(tracking_uri)
    words = f"models:/{name}/{version}"  # Prefect draws no code in a link
    return f"`{words}`" if server is None else f"[{words}]({server}/#/models/{name}/versions/{version})"


def _server(tracking_uri: str) -> str | None:
    """The address of MLflow's pages, without a password that it may hold; None of a database, which has none."""
    parts = urlsplit(tracking_uri)
    if parts.scheme not in ("http", "https"):
        return None
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
