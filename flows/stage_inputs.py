"""The inputs of training and evaluation that enter their keys, by the names of the stages' parameters."""

from typing import Any

from sft_core.evaluation import LocatedTasks
from sft_core.evaluation.answering import locate_scoring
from sft_core.pretrained.model import ModelRef
from sft_core.processes.launch import Launch
from sft_core.recipe import Recipe
from sft_core.recipe.inputs import DataInputs
from sft_core.store.artifact import ArtifactRef


def training_inputs(
    recipe: Recipe, inputs: DataInputs, model: ModelRef, dataset: ArtifactRef, processes: Launch
) -> dict[str, Any]:
    """Of `train_model`."""
    answering = recipe.answering_while_training
    return {
        "config": recipe.training,
        "model": model,
        "tokenizer": inputs.tokenizer,
        "processor": inputs.processor,
        "template": inputs.template,
        "eos_token": recipe.tokens.eos_token,
        "dataset": dataset,
        "answering": answering,
        "scoring": locate_scoring(recipe.evaluation) if answering else None,
        "num_processes": processes.num_processes,
    }


def evaluation_inputs(
    recipe: Recipe,
    inputs: DataInputs,
    model: ModelRef,
    trained: ArtifactRef,
    dataset: ArtifactRef,
    harness: LocatedTasks,
) -> dict[str, Any]:
    """Of `evaluate_model`."""
    return {
        "config": recipe.evaluation,
        "scoring": locate_scoring(recipe.evaluation),
        "harness": harness,
        "baseline": model,
        "trained": trained,
        "dataset": dataset,
        "processor": inputs.processor,
    }
