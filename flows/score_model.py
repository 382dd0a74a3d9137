"""Evaluation by itself: any model on any held-out rows, and two models against each other."""

from prefect import flow

from flows.prepare_data import prepare_data
from flows.reports.links import link_run
from flows.reports.pages import show_comparison
from flows.reports.run_names import of_comparison, of_evaluation
from flows.reports.score_report import Comparison, ScoreReport, compare_reports, report_scores
from sft_core.evaluation import locate_tasks
from sft_core.evaluation.answering import locate_scoring
from sft_core.pretrained.model_content import locate_content
from sft_core.processes.launch import read_launch
from sft_core.recipe.held_out import HeldOutRecipe
from sft_core.recipe.inputs import locate_inputs
from sft_core.recipe.run_names import score_name
from tasks.home import file_digests, open_store
from tasks.measure_model import measure_model
from tasks.tracking import find_model, open_tracker
from tasks.tracking.provenance import run_key


@flow(name="score-model", flow_run_name=of_evaluation)
def score_model(model: str, recipe: HeldOutRecipe) -> ScoreReport:
    """Measure a model on held-out rows, doing again only what changed.

    Args:
        model: A folder, a run's id, `models:/name@alias`, `models:/name/version`, or a logged model's id.
        recipe: Which rows, and how they are measured.
    """
    store, processes = open_store(recipe.runtime), read_launch(recipe.runtime).alone()
    digests = file_digests(store)
    tracker = open_tracker(recipe.registry.experiment, store)
    found = find_model(tracker.client, model, store.root / "downloads")
    content, scoring = locate_content(found.folder, digests), locate_scoring(recipe.evaluation)
    harness = locate_tasks(recipe.evaluation.lm_eval, digests)
    own = recipe.for_model(found.folder)
    inputs = locate_inputs(own, digests)
    key = run_key(own, ["score-model", inputs, content, scoring, harness])
    with tracker.run(own, key, score_name(model, own)) as run:
        link_run(run)
        data = prepare_data(own)
        run.log_dataset(own.name, data.folder, {"eval": data.splits["eval"]}, data.ledger)
        run.log_file(data.report)
        dataset = data.dataset.model_copy()
        scorecard = measure_model(
            own.evaluation, scoring, harness, content, dataset, inputs.processor, processes=processes, store=store
        )
        return report_scores(model, own, store, run, found, data, scorecard)


@flow(name="compare-models", flow_run_name=of_comparison)
def compare_models(model: str, against: str, recipe: HeldOutRecipe) -> Comparison:
    """Measure two models on the same held-out rows, and tell the gain of the first over the second.

    Args:
        model: As `score_model` takes it.
        against: The other.
        recipe: Which rows, and how they are measured.
    """
    compared = compare_reports(score_model(model, recipe), score_model(against, recipe))
    show_comparison(model, against, (compared.model.scorecard, compared.against.scorecard), compared.gains)
    return compared
