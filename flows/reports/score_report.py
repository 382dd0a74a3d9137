"""Report of an evaluation: for the command line, for MLflow's run page and for Prefect."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from flows.preparation import PreparedData
from flows.reports.pages import show_scores
from flows.reports.samples_page import log_samples_page
from sft_core.evaluation import SAMPLES_FILE, SCORED_ITEMS_FILE, files_beside_run
from sft_core.evaluation.gains import ScoreGain, gains_of
from sft_core.inspection.run_pages import scores_table
from sft_core.recipe.held_out import HeldOutRecipe
from sft_core.recipe.run_names import path_label
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.store.stages import EVALUATE_MODEL
from sft_core.store.tables import read_table
from tasks.stages.outcomes import executed_or_cached, stage_folders
from tasks.tracking import FoundModel, TrackedRun, record_evaluation
from tasks.tracking.provenance import prefect_page


class ScoreReport(BaseModel):
    """Result of one evaluation, as plain values."""

    status: str = "completed"
    name: str
    """Name of the held-out rows, as in their recipe."""
    model: str
    """The model, as the caller named it."""
    model_dir: Path
    model_id: str | None
    """Id of the logged model in MLflow; None for a plain folder."""
    mlflow_run_id: str
    tracking_uri: str
    experiment_id: str
    scorecard: dict[str, float]
    intervals: dict[str, dict[str, float]]
    """Score → `low` and `high` of its 95 % interval."""
    ledger: dict[str, Any]
    samples: Path
    scored_items: Path
    eval_dataset: Path
    eval_dataset_digest: str
    report: Path
    """HTML page of the data report."""
    artifacts: dict[str, Path]
    stages: dict[str, str]


class Comparison(BaseModel):
    """Two evaluations on the same rows, with the gains of the first model over the second."""

    status: str = "completed"
    model: ScoreReport
    against: ScoreReport
    gains: dict[str, ScoreGain]


def report_scores(
    model: str,
    recipe: HeldOutRecipe,
    store: ArtifactStore,
    run: TrackedRun,
    found: FoundModel,
    data: PreparedData,
    scorecard: ArtifactRef,
) -> ScoreReport:
    """Record the scores in the MLflow run and on the model, describe the run in both UIs, and return its report."""
    manifest, folder, held_out = store.manifest(scorecard), store.path(scorecard), data.splits["eval"]
    scores = manifest.facts["scorecard"]
    run.record_scorecard(scores, 0, folder / SAMPLES_FILE)
    run.log_files(files_beside_run(folder))
    log_samples_page(run, f"{path_label(model)} on {recipe.name}", store, folder)
    run.settle("naming the model")
    record_evaluation(run, found, scores, f"{recipe.name}-eval", held_out["digest"], manifest.made_at)
    made = {EVALUATE_MODEL: [scorecard]}
    report = ScoreReport(
        name=recipe.name,
        model=model,
        model_dir=found.folder,
        model_id=found.model_id,
        mlflow_run_id=run.run_id,
        tracking_uri=run.tracking_uri,
        experiment_id=run.experiment_id,
        scorecard=scores,
        intervals=manifest.facts["intervals"],
        ledger=data.ledger.flat(),
        samples=folder / SAMPLES_FILE,
        scored_items=folder / SCORED_ITEMS_FILE,
        eval_dataset=data.folder / "eval",
        eval_dataset_digest=held_out["digest"],
        report=data.report,
        artifacts={**data.artifacts, **stage_folders(store, made)},
        stages={**data.stages, **executed_or_cached(store, made)},
    )
    run.describe(as_markdown(report, held_out["rows"]))
    show_scores(f"{path_label(model)} on {recipe.name}", folder, scores, report.intervals, None)
    return report


def compare_reports(model: ScoreReport, against: ScoreReport) -> Comparison:
    """Compute the gains of one evaluation over another, paired by row."""
    before, after = (read_table(report.scored_items) for report in (against, model))
    return Comparison(model=model, against=against, gains=gains_of(before, after))


def as_markdown(report: ScoreReport, num_rows: int) -> str:
    """Return the report as Markdown."""
    flow_run = prefect_page()
    link = f"[Prefect run]({flow_run})\n\n" if flow_run else ""
    return f"""{link}Model `{report.model}` on {num_rows:,} held-out rows, digest `{report.eval_dataset_digest}`.

{scores_table(report.scorecard, report.intervals)}

Samples: `{report.samples}`. Data report: `{report.report}`. Weights: `{report.model_dir}`.
"""
