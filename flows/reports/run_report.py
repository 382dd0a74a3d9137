"""Report of a run at its end: for the command line, for MLflow's run page and for Prefect."""

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
from sft_core.store.stages import EVALUATE_MODEL, REGISTER_MODEL, TRAIN_MODEL
from sft_core.training import MODEL_FOLDER
from tasks.register_model import Candidate, ModelVersion
from tasks.stages.outcomes import accepted, executed_or_cached, stage_folders, stage_keys
from tasks.tracking import TrackedRun, log_stages
from tasks.tracking.provenance import prefect_page

PLAN_FILE = "plan.json"
TRAINER_TAGS = ("device", "bf16", "attn_implementation", "padding_free")


class RunReport(BaseModel):
    """Result of one run, as plain values."""

    status: str
    recipe: str
    mlflow_run_id: str
    tracking_uri: str
    experiment_id: str
    mlflow_url: str | None
    """Address of the run's page; None if MLflow is a database without a server."""
    model_uri: str
    model_dir: Path
    is_champion: bool
    verdict: str
    resumed_from: int | None
    """Step that the training was last resumed from; None if it was never interrupted."""
    training: dict[str, Any]
    """Result of the training, with the fields of `TrainResult`."""
    scorecard: dict[str, float]
    intervals: dict[str, dict[str, float]]
    """Score → `low` and `high`: a 95 % interval for how it would vary if other rows were held out."""
    ledger: dict[str, Any]
    rejected: Path
    report: Path
    """HTML page of the data report."""
    artifacts: dict[str, Path]
    stages: dict[str, str]


def log_data(run: TrackedRun, name: str, data: PreparedData) -> None:
    """Attach prepared data to the MLflow run: the artifacts of its stages, its splits, its ledger and its report."""
    log_stages(run, data.artifact_keys)
    run.log_dataset(name, data.folder, data.splits, data.ledger)
    run.log_file(data.report)


def report_run(
    recipe: Recipe,
    store: ArtifactStore,
    run: TrackedRun,
    data: PreparedData,
    candidate: Candidate,
    registered: ArtifactRef,
) -> RunReport:
    """Record all metrics and scores in the MLflow run, describe the run there and in Prefect, and return its report."""
    trained, scorecard = candidate.trained, candidate.scorecard
    training = store.manifest(trained).facts
    scores = store.manifest(scorecard).facts["scorecard"]
    version = ModelVersion(**store.manifest(registered).facts)
    run.log_file(store.path(trained) / PLAN_FILE)
    run.set_tags({f"sft.{name}": str(training[name]) for name in TRAINER_TAGS})
    run.set_tags({"sft.num_processes": str(read_launch(recipe.runtime).num_processes)})
    run.record_scorecard(scores, training["global_step"], store.path(scorecard) / SAMPLES_FILE)
    run.log_files(files_beside_run(store.path(scorecard)))
    log_samples_page(run, recipe.name, store, store.path(scorecard))
    made = {TRAIN_MODEL: [trained], EVALUATE_MODEL: [scorecard], REGISTER_MODEL: [registered]}
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
    """Show a summary of the run on the page of the current flow run, and return the report unchanged."""
    text = as_markdown(report, _links_in_prefect(report))
    create_markdown_artifact(text, key="sft-run", description=f"Result of {report.recipe}")
    return report


def as_markdown(report: RunReport, links: str) -> str:
    """Return the report as Markdown; the model and its verdict come first, as MLflow folds the rest."""
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
    """Return a sentence about the training: steps, tokens, seconds, device and attention."""
    training = report.training
    resumed = "" if report.resumed_from is None else f"Training was resumed from step {report.resumed_from:,}. "
    return (
        f"{resumed}{training['global_step']:,} steps over {training['num_tokens']:,} tokens in "
        f"{training['seconds']:,.0f} s on {training['device']}, attention `{training['attn_implementation']}`."
    )


def verdict_of(report: RunReport) -> str:
    """Return whether the model became champion, and why, in words."""
    return f"{'champion' if report.is_champion else 'not champion'}: {report.verdict}"


def _links_in_mlflow(report: RunReport) -> str:
    """Return links that are relative to the server that shows the page, so that they hold for any of its addresses."""
    page = run_path(report.experiment_id, report.mlflow_run_id, report.report.name)
    flow_run = prefect_page()
    return f"[Data report]({page})" + (f" · [Prefect run]({flow_run})" if flow_run else "")


def _links_in_prefect(report: RunReport) -> str:
    where = how_to_open(report.tracking_uri, report.experiment_id, report.mlflow_run_id)
    return f"Data report: `{report.report}`. {where}"
