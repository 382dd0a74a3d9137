"""The whole pipeline: from one recipe to one evaluated and registered model."""

from prefect import flow

from flows.prepare_data import prepare_data
from flows.reports.links import link_run
from flows.reports.report_file import hand_over
from flows.reports.run_names import of_recipe
from flows.reports.run_report import RunReport, log_data, report_run
from sft_core.recipe import Recipe
from sft_core.recipe.inputs import locate_run
from sft_core.recipe.model_check import check_model
from sft_core.training import METRICS_FILE
from tasks.evaluate_model import evaluate_model
from tasks.home import file_digests, open_store
from tasks.processes.launching import ready_to_train
from tasks.register_model import Candidate, Registration, register_model
from tasks.stages.run_context import RunContext
from tasks.tracking import log_origin, open_tracker
from tasks.tracking.provenance import RecipeText, run_key
from tasks.train_model import train_model


@flow(name="sft", flow_run_name=of_recipe)
def sft(recipe: Recipe) -> RunReport:
    """Fine-tune one model from one recipe: prepare the data, train, evaluate and register the model.

    Stages whose inputs did not change are reused.

    Args:
        recipe: The recipe to run.
    """
    store, processes = open_store(recipe.runtime), ready_to_train(recipe)
    digests = file_digests(store)
    inputs = locate_run(recipe, digests)
    check_model(recipe, inputs.model, inputs.data.tokenizer, digests)

    tracker = open_tracker(recipe.registry.experiment, store)
    # the images of the data are part of the run's key, and are known only once the rows have been read
    images = prepare_data(recipe) if inputs.data.processor else None
    with tracker.run(recipe, run_key(recipe, inputs, dataset=images.dataset.key if images else None)) as run:
        context = RunContext(store, processes=processes, run=run)
        log_origin(run, recipe, inputs.data, inputs.model, store.root, digests)
        link_run(run)
        data = images or prepare_data(recipe)
        log_data(run, recipe.name, data)
        # a copy: Prefect's page lists no task runs at all if one of them gets the result object of a flow run as input
        dataset = data.dataset.model_copy()
        trained = train_model(inputs.of_training(recipe, processes.num_processes), dataset, context)
        scorecard = evaluate_model(inputs.of_evaluation(recipe), trained, dataset, context.alone())
        run.record_metrics(store.path(trained) / METRICS_FILE)
        run.settle("registering the model")
        registration = Registration(recipe.registry, recipe.model_name, tracker)
        candidate = Candidate(trained, scorecard, dataset)
        registered = register_model(registration, candidate, RecipeText(recipe), context.alone())
        return hand_over(store, report_run(recipe, store, run, data, candidate, registered))
