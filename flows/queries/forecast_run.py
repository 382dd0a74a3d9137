"""Forecast of the steps, disk space and memory of a run, from its prepared data and the shape of its model."""

import numpy as np

from flows.preparation import PreparedData
from sft_core.evaluation import locate_tasks
from sft_core.evaluation.answering import locate_scoring
from sft_core.inspection import lineage_of
from sft_core.pretrained.model import locate_model
from sft_core.pretrained.positions import check_positions, longest_text
from sft_core.pretrained.tokenizer import locate_tokenizer
from sft_core.processes.launch import read_launch
from sft_core.recipe import Recipe
from sft_core.recipe.forecast import DataSize, Forecast, forecast
from sft_core.recipe.measured_models import measured_model
from sft_core.recipe.model_check import check_model
from sft_core.store.tables import read_table
from tasks.home import file_digests, open_store
from tasks.processes.launching import ready_to_train


def forecast_run(recipe: Recipe, data: PreparedData) -> Forecast:
    """Forecast what a run will take, from the sizes of its data and its model; no weights are read.

    Raises:
        RecipeError: if there is no such model, or if a text is longer than the model's positions allow.
    """
    store = open_store(recipe.runtime)
    digests = file_digests(store)
    tokenizer = locate_tokenizer(recipe.model, digests)
    model = measured_model(locate_model(recipe.model, digests), tokenizer, recipe.training, store.root / "models")
    num_virtual = recipe.training.peft.get("num_virtual_tokens", 0)
    check_positions(model.max_positions, max(longest_text(data.folder / split) for split in data.splits) + num_virtual)
    return forecast(
        recipe.training, recipe.evaluation, read_launch(recipe.runtime).num_processes, _size_of(recipe, data), model
    )


def check_training(recipe: Recipe) -> None:
    """Check the launch options, metrics, evaluation tasks and model of a recipe, before its data is prepared.

    Raises:
        RecipeError: if the model cannot be trained with this recipe on this machine.
    """
    ready_to_train(recipe)
    locate_scoring(recipe.evaluation)
    digests = file_digests(open_store(recipe.runtime))
    locate_tasks(recipe.evaluation.lm_eval, digests)
    check_model(recipe, locate_model(recipe.model, digests), locate_tokenizer(recipe.model, digests), digests)


def _size_of(recipe: Recipe, data: PreparedData) -> DataSize:
    lineage = lineage_of(open_store(recipe.runtime), data.dataset)
    train, held_out = data.splits["train"], data.splits.get("eval", {"blocks": 0, "tokens": 0})
    segments = lineage.segments("train")
    tokens_per_block = np.bincount(segments["block"].to_numpy(), segments["tokens"].to_numpy())
    prompts = data.folder / "prompts.arrow"
    return DataSize(
        train_blocks=train["blocks"],
        train_tokens=train["tokens"],
        train_targets=data.ledger.targets_train,
        longest_block=int(tokens_per_block.max()),
        eval_blocks=held_out["blocks"],
        eval_tokens=held_out["tokens"],
        prompts=len(read_table(prompts)) if prompts.exists() else 0,
        stored_bytes=sum(
            file.stat().st_size for folder in data.artifacts.values() for file in folder.rglob("*") if file.is_file()
        ),
    )
