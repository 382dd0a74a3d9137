"""Plan of a run, stage by stage, without running it: no server is asked, and nothing is written."""

from collections.abc import Sequence

from flows.preparation import prepare
from sft_core.processes.launch import read_launch
from sft_core.recipe import Recipe
from sft_core.recipe.inputs import locate_run
from sft_core.store.stages import GATHER_IMAGES, STAGES
from tasks.evaluate_model import evaluate_model
from tasks.home import file_digests, open_store
from tasks.stages.planning import StagePlan, looking
from tasks.stages.run_context import RunContext
from tasks.train_model import train_model


def plan_run(recipe: Recipe) -> list[StagePlan]:
    """Return the plan of every stage of a run, in order: whether it would be reused or run.

    A registration is valid for one MLflow store. That store is not asked, so the plan of `register_model` only states
    that it depends on the evaluation.

    Raises:
        UserError: if something would stop the run before any work, such as a missing input or a gate that fails.
    """
    store = open_store(recipe.runtime)
    digests = file_digests(store)
    inputs, processes = locate_run(recipe, digests), read_launch(recipe.runtime)
    context = RunContext(store, processes=processes)
    with looking() as found:
        dataset = prepare(recipe).dataset
        trained = train_model(inputs.of_training(recipe, processes.num_processes), dataset, context)
        evaluate_model(inputs.of_evaluation(recipe), trained, dataset, context)
    return [*found, *_not_reached(found)]


def _not_reached(found: Sequence[StagePlan]) -> list[StagePlan]:
    last = found[-1]
    later = STAGES[STAGES.index(last.stage) + 1 :]
    return [StagePlan(stage, "depends", waits_for=last.stage) for stage in later if stage != GATHER_IMAGES]
