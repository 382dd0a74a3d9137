"""Access to prepared data for inspection: from a recipe, which is prepared first, or from a folder in the store."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sft_core.errors import RecipeError
from sft_core.inspection import Lineage, find_behind, find_dataset, lineage_of
from sft_core.pretrained.processor import ProcessorRef
from sft_core.pretrained.tokenizer import TokenizerRef
from sft_core.processes.launch import read_launch
from sft_core.recipe import Recipe
from sft_core.store.stages import TRAIN_MODEL
from sft_core.training import MODEL_FOLDER, TrainingConfig, TrainPlan, batches_of_step, steps_of_block

if TYPE_CHECKING:
    from flows.preparation import PreparedData


@dataclass(frozen=True, slots=True)
class OpenData:
    """A data set, with the settings of the training on it if there was one."""

    lineage: Lineage
    tokenizer: TokenizerRef | None
    training: TrainingConfig | None
    num_processes: int
    processor: ProcessorRef | None = None
    """Processor that determines which tokens belong to an image; None for a model without images."""


def open_recipe(recipe: Recipe) -> OpenData:
    """Open the data of a recipe; it is prepared first if it is not in the store."""
    from flows.preparation import prepare  # opening a folder does not need these imports, which are slow

    return open_prepared(recipe, prepare(recipe))


def open_prepared(recipe: Recipe, data: "PreparedData") -> OpenData:
    """Open data that was prepared from a recipe."""
    from sft_core.recipe.inputs import locate_inputs
    from tasks.home import file_digests, open_store

    store = open_store(recipe.runtime)
    inputs, processes = locate_inputs(recipe, file_digests(store)), read_launch(recipe.runtime).num_processes
    lineage = lineage_of(store, data.dataset)
    return OpenData(lineage, inputs.tokenizer, recipe.training, processes, inputs.processor)


def open_folder(folder: Path) -> OpenData:
    """Open the data set that belongs to the folder of a data set, a training or an evaluation; nothing is computed.

    Raises:
        RecipeError: if the folder is something else.
    """
    store, dataset, manifest = find_dataset(folder)
    lineage = lineage_of(store, dataset)
    is_training = manifest.ref.stage == TRAIN_MODEL
    trained = manifest if is_training else find_behind(store, manifest, TRAIN_MODEL)
    if trained is None:
        return OpenData(lineage, None, None, 1)
    path = store.path(trained.ref)
    plan = TrainPlan.model_validate_json((path / "plan.json").read_bytes())
    tokenizer = TokenizerRef(
        folder=path / MODEL_FOLDER,
        content_digest=trained.ref.key,
        commit=None,
        trust_remote_code=plan.trust_remote_code,
    )
    return OpenData(lineage, tokenizer, plan.training, plan.num_processes, plan.processor)


def batches_of(data: OpenData, step: int) -> list[list[int]]:
    """Return the blocks of one training step, as one list for each micro-batch, process after process.

    Raises:
        RecipeError: if the data was opened without a training, or if the training has fewer steps.
    """
    if data.training is None:
        raise RecipeError("--step: a data set has no steps; name the recipe, or the folder of a training run")
    num_blocks = data.lineage.splits["train"]["blocks"]
    try:
        return batches_of_step(
            data.training, num_blocks, data.num_processes, step, lambda: data.lineage.block_lengths("train")
        )
    except ValueError as error:
        raise RecipeError(f"--step {step}: {error}") from error


def steps_of(data: OpenData, block: int) -> list[int]:
    """Return the optimizer steps that train on a block of the train split; empty if there was no training."""
    if data.training is None:
        return []
    num_blocks = data.lineage.splits["train"]["blocks"]
    return steps_of_block(
        data.training, num_blocks, data.num_processes, block, lambda: data.lineage.block_lengths("train")
    )
