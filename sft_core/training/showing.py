"""Setup for data with images: the maker of pixels, and processes of which some have a batch without images."""

from collections.abc import Iterable
from typing import Any

from sft_core.errors import RecipeError
from sft_core.modeling import Blocks, PixelMaker, has_vision
from sft_core.training.plan import TrainPlan


def pixels_for(plan: TrainPlan, model: Any, splits: Iterable[Blocks]) -> PixelMaker | None:
    """Return the maker of pixels for a vision-language model; None if the model takes or the plan has no images.

    Args:
        plan: Names the image processor and the folder of images.
        model: The model, without an adapter around it.
        splits: The blocks that the model will see.

    Raises:
        RecipeError: if the data has images and the model cannot take them, or its placeholder token for images is not
            one that the processor writes.
    """
    has_images = any(blocks.has_images for blocks in splits)
    if not has_vision(model.config):
        if has_images:
            raise RecipeError(
                f"model: the data has images, which {type(model).__name__} cannot take; use a vision-language model, "
                "or drop the images in the sources"
            )
        return None
    if plan.processor is None or plan.images_folder is None:
        if has_images:
            raise RecipeError(
                f"model.tokenizer: the data has images, but there is no image processor in '{plan.tokenizer_folder}'"
            )
        return None
    pixels = PixelMaker(plan.processor, plan.images_folder)
    config, ids = model.config, pixels.vision().image_token_ids
    expected = getattr(config, "image_token_id", getattr(config, "image_token_index", None))
    if expected is not None and expected not in ids:
        raise RecipeError(
            f"model: it inserts images at tokens with the id {expected}, but its processor writes the id {ids[0]}; "
            "with `init: config` set `image_token_id` and the related ids in model.config, else use the model's own "
            "tokenizer"
        )
    return pixels


def allow_batches_without_images(args: Any, splits: Iterable[Blocks]) -> None:
    """Let DDP accept that the image encoder gets no gradient on a process whose batch has no images.

    Args:
        args: `TrainingArguments`, whose `ddp_find_unused_parameters` is set unless the recipe sets it.
        splits: The blocks that the model will see.

    Raises:
        RecipeError: if the encoder's weights are sharded: the processes would wait for each other forever.
    """
    if args.world_size == 1:
        return
    is_sharded = bool(args.fsdp) or bool(args.deepspeed) or args.parallelism_config is not None
    if is_sharded and any(blocks.has_images for blocks in splits):
        raise RecipeError(
            "training: a process whose batch has no images does not use the image encoder, and the others would "
            "wait for its shard of the weights; remove `fsdp`, `deepspeed` and `parallelism_config`"
        )
    if args.ddp_find_unused_parameters is None:
        args.ddp_find_unused_parameters = True
