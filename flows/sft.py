"""The whole story: one recipe in, one evaluated and registered model out."""

from prefect import flow

from flows.prepare_data import prepare_data
from flows.reports.links import link_run
from flows.reports.report_file import hand_over
from flows.reports.run_names import of_recipe
from flows.reports.run_report import RunReport, report_run
from flows.stage_inputs import evaluation_inputs, training_inputs
from sft_core.evaluation import locate_tasks
from sft_core.evaluation.answering import locate_scoring
from sft_core.pretrained.model import locate_model
from sft_core.recipe import Recipe
from sft_core.recipe.inputs import locate_inputs
from sft_core.recipe.model_check import check_model
from sft_core.training import METRICS_FILE
from tasks.evaluate_model import evaluate_model
from tasks.home import file_digests, open_store
from tasks.processes.launching import ready_to_train
from tasks.register_model import register_model
from tasks.tracking import log_origin, log_stages, open_tracker
from tasks.tracking.provenance import RecipeText, run_key
from tasks.train_model import train_model


@flow(name="sft", flow_run_name=of_recipe)
def sft(recipe: Recipe) -> RunReport:
    """Fine-tune one model from one recipe, reusing every stage whose inputs did not change."""
    store = open_store(recipe.runtime)
    digests = file_digests(store)
    processes = ready_to_train(recipe)
    inputs, model = locate_inputs(recipe, digests), locate_model(recipe.model, digests)
    check_model(recipe, model, inputs.tokenizer, digests)
    scoring, harness = locate_scoring(recipe.evaluation), locate_tasks(recipe.evaluation.lm_eval, digests)

    tracker = open_tracker(recipe.registry.experiment, store)
    # what images hold is known when the rows that name them have been read, and is a part of what the run is
    shown = prepare_data(recipe) if inputs.processor else None
    key = run_key(recipe, [inputs, model, scoring, harness], dataset=shown.dataset.key if shown else None)
    with tracker.run(recipe, key) as run:
        log_origin(run, recipe, inputs, model, store.root, digests)
        link_run(run)
        data = shown or prepare_data(recipe)
        # a copy: Prefect's page lists no task runs at all if one of them was given a flow run's own result
        dataset = data.dataset.model_copy()
        log_stages(run, data.artifact_keys)
        run.log_dataset(recipe.name, data.folder, data.splits, data.ledger)
        run.log_file(data.report)
        trained = train_model(
            **training_inputs(recipe, inputs, model, dataset, processes), processes=processes, run=run, store=store
        )
        scorecard = evaluate_model(
            **evaluation_inputs(recipe, inputs, model, trained, dataset, harness),
            processes=processes.alone(),
            store=store,
        )
        run.record_metrics(store.path(trained) / METRICS_FILE)
        run.settle("registering the model")
        registered = register_model(
            recipe.registry,
            recipe.model_name,
            trained,
            scorecard,
            dataset,
            tracker,
            recipe=RecipeText(recipe),
            processes=processes.alone(),
            run=run,
            store=store,
        )
        return hand_over(store, report_run(recipe, store, run, data, trained, scorecard, registered))
