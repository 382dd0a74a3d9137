"""Saving of the results of a training: the model folder, the adapter if one was trained, and a probe of the model in
memory."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from transformers.trainer import TRAINING_ARGS_NAME

from sft_core.modeling import (
    Probe,
    attention_over_rows,
    base_of,
    coarsest,
    deliver_adapter,
    is_quantized,
    probe_logits,
    probe_texts,
)
from sft_core.training.companions import Companions
from sft_core.training.plan import ADAPTER_FOLDER, MODEL_FOLDER, PROBE_FILE, TrainPlan
from sft_core.training.trainer import SupervisedTrainer, arithmetic_dtype
from sft_core.training.undisturbed import undisturbed


def save_probe(trainer: SupervisedTrainer, plan: TrainPlan) -> None:
    """Write the logits that the model in memory computes for some texts, to be compared with the saved model.

    The texts are held-out ones if there are any. Every process has to call this, after training and before the model is
    saved. Autocast is off meanwhile, so that the logits have the precision of the weights.
    """
    model, pixels = trainer.model, trainer.data_collator.pixels
    texts, images = probe_texts(trainer.eval_dataset or trainer.train_dataset, pixels)
    with undisturbed(model), _without_autocast(model), attention_over_rows(base_of(model)):
        model.eval()
        logits = probe_logits(model, texts, trainer.args.device, images)
    if trainer.is_world_process_zero():
        Probe(texts, logits, _precision(trainer), images).write(plan.output_folder / PROBE_FILE)


@contextlib.contextmanager
def _without_autocast(model: Any) -> Iterator[None]:
    """Call the model's own forward pass, without the autocast that accelerate wraps it in."""
    wrapped, bare = model.forward, model.__dict__.get("_original_forward")
    model.forward = wrapped if bare is None else bare
    try:
        yield
    finally:
        model.forward = wrapped


def _precision(trainer: SupervisedTrainer) -> str:
    """Return the coarsest type that the model computes in. Sharded weights are gathered in that of the arithmetic."""
    dtypes = [parameter.dtype for parameter in trainer.model.parameters() if parameter.is_floating_point()]
    is_sharded = getattr(trainer.accelerator.state, "fsdp_plugin", None) is not None
    if is_sharded or is_quantized(base_of(trainer.model)):
        dtypes.append(arithmetic_dtype(trainer.args))
    names = {str(dtype).removeprefix("torch.") for dtype in dtypes}
    return coarsest([*names, *(["float16"] if torch.backends.cuda.matmul.allow_tf32 else [])])


def save_model(trainer: SupervisedTrainer, plan: TrainPlan, companions: Companions) -> bool:
    """Write `model/` with weights, tokenizer and image processor, and `adapter/` with `peft`. Every process has to call
    this.

    Returns:
        True if `model/` holds all weights, False if it holds an adapter for its base model.
    """
    folder, adapter = plan.output_folder / MODEL_FOLDER, plan.output_folder / ADAPTER_FOLDER
    training, is_merged = plan.training, True
    sharding = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if sharding is not None:  # else the Trainer writes shards in checkpoints, and nothing in a model folder
        sharding.set_state_dict_type("FULL_STATE_DICT")
    saved = adapter if training.peft else folder
    trainer.save_model(str(saved))
    if not trainer.is_world_process_zero():
        return is_merged
    (saved / TRAINING_ARGS_NAME).unlink(missing_ok=True)  # a pickle with paths of this machine, which no model needs
    if training.peft:
        is_merged = deliver_adapter(
            adapter, folder, plan.model, companions.tokenizer, training.seed, training.merge_adapter
        )
    companions.save(folder)
    return is_merged
