"""What a run has to say at its end: to the command line, to MLflow's run page and to Prefect."""

from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel

from flows.preparation import PreparedData
from flows.reports.links import how_to_open, run_path, run_url
from flows.reports.pages import show_scores, show_training
from flows.reports.samples_page import log_samples_page
from sft_core.evaluation import SAMPLES_FILE, files_beside_run
from sft_core.inspection.markdown import table
from sft_core.inspection.run_pages import scores_table
from sft_core.processes.launch import read_launch
from sft_core.recipe import Recipe
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.training import MODEL_FOLDER
from tasks.register_model import ModelVersion
from tasks.stages.outcomes import accepted, executed_or_cached, stage_folders, stage_keys
from tasks.tracking import TrackedRun, log_stages
from tasks.tracking.provenance import prefect_page

PLAN_FILE = "plan.json"
TOLD_BY_TRAINER = ("device", "bf16", "attn_implementation", "padding_free")


class RunReport(BaseModel):
    """One run in plain values."""

    status: str
    recipe: str
    mlflow_run_id: str
    tracking_uri: str
    experiment_id: str
    mlflow_url: str | None
    """The run's page; None where no server is used."""
    model_uri: str
    model_dir: Path
    is_champion: bool
    verdict: str
    resumed_from: int | None
    """The step that training last went on from, after it was interrupted."""
    training: dict[str, Any]
    """What the trainer said at its end, as `TrainResult`."""
    scorecard: dict[str, float]
    intervals: dict[str, dict[str, float]]
    """Score → `low` and `high`, between which it would be in 95 of 100 cases, had other rows been held out."""
    ledger: dict[str, Any]
    rejected: Path
    report: Path
    """The data report."""
    artifacts: dict[str, Path]
    stages: dict[str, str]


def report_run(
    recipe: Recipe,
    store: ArtifactStore,
    run: TrackedRun,
    data: PreparedData,
    trained: ArtifactRef,
    scorecard: ArtifactRef,
    registered: ArtifactRef,
) -> RunReport:
    """Bring all points and scores into the MLflow run, describe it there and in Prefect, and sum the run up."""
    training = store.manifest(trained).facts
    scores = store.manifest(scorecard).facts["scorecard"]
    version = ModelVersion(**store.manifest(registered).facts)
    run.log_file(store.path(trained) / PLAN_FILE)
    run.set_tags({f"sft.{name}": str(training[name]) for name in TOLD_BY_TRAINER})
    run.set_tags({"sft.num_processes": str(read_launch(recipe.runtime).num_processes)})
    run.record_scorecard(scores, training["global_step"], store.path(scorecard) / SAMPLES_FILE)
    run.log_files(files_beside_run(store.path(scorecard)))
    log_samples_page(run, recipe.name, store, store.path(scorecard))
    made = {"train_model": [trained], "evaluate_model": [scorecard], "register_model": [registered]}
    log_stages(run, stage_keys(made))
    run.set_tags({f"sft.accepted.{stage}": proof for stage, proof in accepted(store, made).items()})
    report = RunReport(
        status="completed",
        recipe=recipe.name,
        mlflow_run_id=run.run_id,
        tracking_uri=run.tracking_uri,
        experiment_id=run.experiment_id,
        mlflow_url=run_url(run.tracking_uri, run.experiment_id, run.run_id),
        model_uri=version.uri,
        model_dir=store.path(trained) / MODEL_FOLDER,
        is_champion=version.is_champion,
        verdict=version.verdict,
        resumed_from=training["resumed_from"],
        training=training,
        scorecard=scores,
        intervals=store.manifest(scorecard).facts["intervals"],
        ledger=data.ledger.flat(),
        rejected=data.folder / "rejected.jsonl",
        report=data.report,
        artifacts={**data.artifacts, **stage_folders(store, made)},
        stages={**data.stages, **executed_or_cached(store, made)},
    )
    run.describe(as_markdown(report, _links_in_mlflow(report)))
    show_training(recipe.name, store.path(trained), trained_in_words(report))
    show_scores(recipe.name, store.path(scorecard), scores, report.intervals, verdict_of(report))
    return show_run(report)


def show_run(report: RunReport) -> RunReport:
    """Show the run in short on the page of the flow run at work, and return the report as it is."""
    text = as_markdown(report, _links_in_prefect(report))
    create_markdown_artifact(text, key="sft-run", description=f"What came of {report.recipe}")
    return report


def as_markdown(report: RunReport, links: str) -> str:
    """The report as people read it; what comes first is what MLflow shows unfolded."""
    ledger = report.ledger
    return f"""Model `{report.model_uri}`, {verdict_of(report)}.

{links}

{ledger["rows_in"]:,} rows in = {ledger["rows_trained"]:,} trained + {ledger["rows_held_out"]:,} held out + \
{ledger["rows_rejected"]:,} rejected + {ledger["rows_left_out"]:,} left out.

{scores_table(report.scorecard, report.intervals)}

{table(["stage", "this run"], report.stages.items())}

{trained_in_words(report)} Weights: `{report.model_dir}`.
"""


def trained_in_words(report: RunReport) -> str:
    """What the training came to."""
    training = report.training
    resumed = "" if report.resumed_from is None else f"Training was resumed from step {report.resumed_from:,}. "
    return (
        f"{resumed}{training['global_step']:,} steps over {training['num_tokens']:,} tokens in "
        f"{training['seconds']:,.0f} s on {training['device']}, attention `{training['attn_implementation']}`."
    )


def verdict_of(report: RunReport) -> str:
    """Whether the model became champion, and why."""
    return f"{'champion' if report.is_champion else 'not champion'}: {report.verdict}"


def _links_in_mlflow(report: RunReport) -> str:
    """Links below the server that shows the page, whatever its address."""
    page = run_path(report.experiment_id, report.mlflow_run_id, report.report.name)
    flow_run = prefect_page()
    return f"[Data report]({page})" + (f" · [Prefect run]({flow_run})" if flow_run else "")


def _links_in_prefect(report: RunReport) -> str:
    where = how_to_open(report.tracking_uri, report.experiment_id, report.mlflow_run_id)
    return f"Data report: `{report.report}`. {where}"
