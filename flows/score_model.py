"""Evaluation without training: any model on any held-out rows, and two models compared on the same rows."""

from dataclasses import replace

from prefect import flow

from flows.prepare_data import prepare_data
from flows.reports.links import link_run
from flows.reports.pages import show_comparison
from flows.reports.run_names import of_comparison, of_evaluation
from flows.reports.score_report import Comparison, ScoreReport, compare_reports, report_scores
from sft_core.pretrained.model_content import locate_content
from sft_core.processes.launch import read_launch
from sft_core.recipe.held_out import HeldOutRecipe
from sft_core.recipe.inputs import locate_run
from sft_core.recipe.run_names import score_name
from tasks.evaluate_model import evaluate_model
from tasks.home import file_digests, open_store
from tasks.stages.run_context import RunContext
from tasks.tracking import find_model, open_tracker
from tasks.tracking.provenance import run_key


@flow(name="score-model", flow_run_name=of_evaluation)
def score_model(model: str, recipe: HeldOutRecipe) -> ScoreReport:
    """Evaluate a model on held-out rows; stages whose inputs did not change are reused.

    Args:
        model: A folder, the id of an MLflow run, `models:/name@alias`, `models:/name/version`, or the id of a logged
            model.
        recipe: Recipe that names the held-out rows and the settings of the evaluation.
    """
    store, processes = open_store(recipe.runtime), read_launch(recipe.runtime).alone()
    digests = file_digests(store)
    tracker = open_tracker(recipe.registry.experiment, store)
    found = find_model(tracker.client, model, store.root / "downloads")
    own, content = recipe.for_model(found.folder), locate_content(found.folder, digests)
    inputs = locate_run(own, digests)
    key = run_key(own, ["score-model", inputs.data, content, inputs.scoring, inputs.harness])
    with tracker.run(own, key, score_name(model, own)) as run:
        link_run(run)
        data = prepare_data(own)
        run.log_dataset(own.name, data.folder, {"eval": data.splits["eval"]}, data.ledger)
        run.log_file(data.report)
        measuring, context = replace(inputs.of_evaluation(own), baseline=None), RunContext(store, processes=processes)
        scorecard = evaluate_model(measuring, content, data.dataset.model_copy(), context)
        return report_scores(model, own, store, run, found, data, scorecard)


@flow(name="compare-models", flow_run_name=of_comparison)
def compare_models(model: str, against: str, recipe: HeldOutRecipe) -> Comparison:
    """Evaluate two models on the same held-out rows, and report how much the first gains over the second.

    Args:
        model: A folder, the id of an MLflow run, `models:/name@alias`, `models:/name/version`, or the id of a logged
            model.
        against: The model that it is compared with, given in the same way.
        recipe: Recipe that names the held-out rows and the settings of the evaluation.
    """
    compared = compare_reports(score_model(model, recipe), score_model(against, recipe))
    show_comparison(model, against, (compared.model.scorecard, compared.against.scorecard), compared.gains)
    return compared
