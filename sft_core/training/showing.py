"""How images of a data set reach the model, and what to do where they are not everywhere."""

from collections.abc import Iterable
from typing import Any

from sft_core.errors import RecipeError
from sft_core.modeling import Blocks, PixelMaker, has_vision
from sft_core.training.plan import TrainPlan


def pixels_for(plan: TrainPlan, model: Any, splits: Iterable[Blocks]) -> PixelMaker | None:
    """What makes pixels for a model that takes them.

    Args:
        plan: Names processor and images.
        model: Without an adapter around it.
        splits: The blocks that it will see.

    Raises:
        RecipeError: if the data has images and the model cannot be shown them, or takes other tokens for them than the
            processor writes.
    """
    has_images = any(blocks.has_images for blocks in splits)
    if not has_vision(model.config):
        if has_images:
            raise RecipeError(
                f"model: the data has images, and {type(model).__name__} sees none; take a model of images and text, "
                "or leave the images out of the sources"
            )
        return None
    if plan.processor is None or plan.images_folder is None:
        if has_images:
            raise RecipeError(
                f"model.tokenizer: the data has images, and no image processor lies in '{plan.tokenizer_folder}'"
            )
        return None
    pixels = PixelMaker(plan.processor, plan.images_folder)
    config, ids = model.config, pixels.vision().image_token_ids
    expected = getattr(config, "image_token_id", getattr(config, "image_token_index", None))
    if expected is not None and expected not in ids:
        raise RecipeError(
            f"model: it puts what it sees at tokens with the id {expected}, and its processor writes {ids[0]}; with "
            "`init: config` set `image_token_id` and the ids beside it in model.config, else take the tokenizer that "
            "belongs to the model"
        )
    return pixels


def allow_batches_without_images(args: Any, splits: Iterable[Blocks]) -> None:
    """Let processes train together of which one has a batch without images, whose encoder gets no gradient there.

    Args:
        args: `TrainingArguments`, changed in place.
        splits: The blocks that the model will see.

    Raises:
        RecipeError: if the encoder's weights are spread over the processes, which would wait for each other forever.
    """
    if args.world_size == 1:
        return
    is_sharded = bool(args.fsdp) or bool(args.deepspeed) or args.parallelism_config is not None
    if is_sharded and any(blocks.has_images for blocks in splits):
        raise RecipeError(
            "training: a batch without images on one of several processes does not use the encoder of images, and the "
            "others would wait for its share of the weights; leave out `fsdp`, `deepspeed` and `parallelism_config`"
        )
    if args.ddp_find_unused_parameters is None:
        args.ddp_find_unused_parameters = True
