"""What a run of a recipe would do, stage by stage, without doing it: no server is asked, and nothing is written."""

from collections.abc import Sequence
from typing import Any

from flows.preparation import STAGES, prepare
from flows.stage_inputs import evaluation_inputs, training_inputs
from sft_core.evaluation import locate_tasks
from sft_core.pretrained.model import locate_model
from sft_core.processes.launch import read_launch
from sft_core.recipe import Recipe
from sft_core.recipe.inputs import locate_inputs
from sft_core.store.fingerprint import Placement
from tasks.evaluate_model import evaluate_model
from tasks.home import file_digests, open_store
from tasks.stages.planning import StagePlan, looking
from tasks.train_model import train_model

NO_RUN: Any = Placement()
"""A stage that is only looked at follows no run."""
OPTIONAL_STAGE = "gather_images"
AFTER_PREPARATION = ("train_model", "evaluate_model", "register_model")


def plan_run(recipe: Recipe) -> list[StagePlan]:
    """Look at every stage of a run, in order.

    A registration counts for one MLflow store, which is not asked: it is left to depend on the evaluation.

    Raises:
        UserError: for what would stop the run before any work: a missing input, a gate that the data fails.
    """
    store = open_store(recipe.runtime)
    digests = file_digests(store)
    inputs, model = locate_inputs(recipe, digests), locate_model(recipe.model, digests)
    harness, processes = locate_tasks(recipe.evaluation.lm_eval, digests), read_launch(recipe.runtime)
    with looking() as found:
        dataset = prepare(recipe).dataset
        trained = train_model(
            **training_inputs(recipe, inputs, model, dataset, processes), processes=processes, run=NO_RUN, store=store
        )
        evaluate_model(
            **evaluation_inputs(recipe, inputs, model, trained, dataset, harness), processes=processes, store=store
        )
    return [*found, *_not_reached(found)]


def _not_reached(found: Sequence[StagePlan]) -> list[StagePlan]:
    last = found[-1]
    stages = [*STAGES, *AFTER_PREPARATION]
    later = stages[stages.index(last.stage) + 1 :]
    return [StagePlan(stage, "depends", waits_for=last.stage) for stage in later if stage != OPTIONAL_STAGE]
