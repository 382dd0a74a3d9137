"""Links between the pages of a run in MLflow and in Prefect."""

import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from prefect.artifacts import create_markdown_artifact

from sft_core.inspection import REPORT_FILE
from tasks.tracking import TrackedRun
from tasks.tracking.addresses import version_uri
from tasks.tracking.provenance import prefect_page

TRAINING_VIEW = "workflowType=machine_learning"
"""Query parameter without which MLflow opens its pages for prompts and agents, which show no curves."""


def run_path(experiment_id: str, run_id: str, artifact: str = "") -> str:
    """Return the path of the run's page, or of one of its artifacts, relative to the address of any MLflow server."""
    below = f"/artifacts/{artifact}" if artifact else ""
    return f"#/experiments/{experiment_id}/runs/{run_id}{below}?{TRAINING_VIEW}"


def run_url(tracking_uri: str, experiment_id: str, run_id: str, artifact: str = "") -> str | None:
    """Return the URL of the run's page, or of one of its artifacts; None if MLflow is a database without a server."""
    server = _server(tracking_uri)
    return None if server is None else f"{server}/{run_path(experiment_id, run_id, artifact)}"


def ui_command(tracking_uri: str) -> str:
    """Return the command that starts MLflow's UI over a database."""
    return f"{Path(sys.executable).parent}/mlflow ui --backend-store-uri {tracking_uri}"


def how_to_open(tracking_uri: str, experiment_id: str, run_id: str) -> str:
    """Return Markdown with a link to the run's page, or with the command that starts the UI and the page's URL."""
    url = run_url(tracking_uri, experiment_id, run_id)
    if url is not None:
        return f"[MLflow run]({url})"
    page = f"http://127.0.0.1:5000/{run_path(experiment_id, run_id)}"
    return f"MLflow run `{run_id}`: `{ui_command(tracking_uri)}` shows it at <{page}>"


def link_run(run: TrackedRun) -> None:
    """Link the pages of the MLflow run and of the flow run in Prefect with each other, as soon as both exist."""
    links = how_to_open(run.tracking_uri, run.experiment_id, run.run_id)
    data_report = run_url(run.tracking_uri, run.experiment_id, run.run_id, REPORT_FILE)
    if data_report is not None:
        links += f" · [data report]({data_report}), once the data is prepared"
    description = "Parameters, data, metrics and model of this flow run"
    create_markdown_artifact(links, key="mlflow-run", description=description)
    if not run.is_finished and (page := prefect_page()) is not None:
        run.describe(f"[Prefect run]({page}): its progress, its log and, if it failed, the reason.")


def version_link(tracking_uri: str, name: str, version: str) -> str:
    """Return Markdown that names a registered version, with a link if MLflow has a server."""
    server = _server(tracking_uri)
    uri = version_uri(name, version)  # Prefect renders no code inside a link
    return f"`{uri}`" if server is None else f"[{uri}]({server}/#/models/{name}/versions/{version})"


def _server(tracking_uri: str) -> str | None:
    """Return the address of MLflow's pages, without user and password; None for a database, which has no pages."""
    parts = urlsplit(tracking_uri)
    if parts.scheme not in ("http", "https"):
        return None
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
