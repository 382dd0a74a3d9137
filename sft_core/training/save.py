"""What a training leaves behind: the model's folder and, where an adapter was trained, the adapter beside it."""

from typing import TYPE_CHECKING

from sft_core.modeling import deliver_adapter
from sft_core.training.plan import ADAPTER_FOLDER, MODEL_FOLDER, TrainPlan
from sft_core.training.trainer import SupervisedTrainer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def save_model(trainer: SupervisedTrainer, plan: TrainPlan, tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Write `model/` with its tokenizer; every process calls this.

    Returns:
        Whether `model/` holds all weights, rather than an adapter for its base.
    """
    folder, adapter = plan.output_folder / MODEL_FOLDER, plan.output_folder / ADAPTER_FOLDER
    training, is_merged = plan.training, True
    sharding = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if sharding is not None:  # the Trainer writes shards into checkpoints alone, and for a model folder nothing
        sharding.set_state_dict_type("FULL_STATE_DICT")
    trainer.save_model(str(adapter if training.peft else folder))
    if not trainer.is_world_process_zero():
        return is_merged
    if training.peft:
        is_merged = deliver_adapter(adapter, folder, plan.model, tokenizer, training.seed, training.merge_adapter)
    if plan.chat_template is not None:
        tokenizer.chat_template = plan.chat_template
    tokenizer.save_pretrained(folder)
    return is_merged
