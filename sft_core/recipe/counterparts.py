"""Fields of TRL and trlX with the recipe's fields for them, or the reasons why the recipe lacks such a field.

The page docs/from-trl-and-trlx.md is generated from these tables. The error message for a recipe that uses such a name
states the field to write instead. A name that is also a field of the recipe needs no entry. The fields that TRL
inherits from transformers are all in `training`, or in `sft_core.training.owned`.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counterpart:
    """The recipe's counterpart of one field of TRL or trlX."""

    fields: tuple[str, ...] = ()
    """Dotted paths of the recipe's fields; empty if there is no counterpart."""
    note: str = ""
    """Difference between the two, or the reason why there is no counterpart."""


def _here(*fields: str, note: str = "") -> Counterpart:
    return Counterpart(fields, note)


def _not_here(note: str) -> Counterpart:
    return Counterpart((), note)


_LORA = "by PEFT's own name inside of `peft`: "
_QUANTIZED = "by transformers' own name inside of `quantization_config`: `{load_in_4bit: true}`"
_LAYOUT = "how a batch is laid out is the trainer's, and changes no number; `packing` fills the blocks"
_STREAMED = "every source is read as a stream, in flat memory"
_SPLITS = "each split of a Hub data set is a source of its own, by its path; `split: eval` holds it out"

TRL: Mapping[str, Counterpart] = {
    # SFTConfig
    "dataset_kwargs": _not_here("rows that are tokenized already are a format of their own, docs/formats.md"),
    "dataset_num_proc": _here("runtime.num_workers", note="the result is the same for any number"),
    "pad_to_multiple_of": _not_here(_LAYOUT),
    "pad_token": _not_here("padding never counts, whatever its id; TRL is giving it up as well"),
    # ModelConfig
    "model_name_or_path": _here("model.path"),
    "model_revision": _here("model.revision", note="resolved to a commit before anything depends on it"),
    "use_peft": _here("training.peft", note="anything in it means yes"),
    "lora_r": _here("training.peft", note=_LORA + "`{peft_type: LORA, r: 16}`"),
    "lora_alpha": _here("training.peft", note=_LORA + "`lora_alpha`"),
    "lora_dropout": _here("training.peft", note=_LORA + "`lora_dropout`"),
    "lora_target_modules": _here("training.peft", note=_LORA + "`target_modules`"),
    "lora_target_parameters": _here("training.peft", note=_LORA + "`target_parameters`"),
    "lora_modules_to_save": _here("training.peft", note=_LORA + "`modules_to_save`"),
    "lora_task_type": _not_here("it is always CAUSAL_LM"),
    "use_rslora": _here("training.peft", note=_LORA + "`use_rslora`"),
    "use_dora": _here("training.peft", note=_LORA + "`use_dora`"),
    "load_in_8bit": _here("model.model_init_kwargs", note=_QUANTIZED),
    "load_in_4bit": _here("model.model_init_kwargs", note=_QUANTIZED),
    "bnb_4bit_quant_type": _here("model.model_init_kwargs", note=_QUANTIZED),
    "use_bnb_nested_quant": _here("model.model_init_kwargs", note=_QUANTIZED),
    "bnb_4bit_quant_storage": _here("model.model_init_kwargs", note=_QUANTIZED),
    # ScriptArguments
    "dataset_name": _here("sources.path", note="a file, a folder, or `hf://datasets/…`"),
    "dataset_config": _here("sources.path", note="the folder of the configuration in the Hub data set"),
    "dataset_train_split": _here("sources.path", note=_SPLITS),
    "dataset_test_split": _here("sources.split", note=_SPLITS),
    "dataset_streaming": _not_here(_STREAMED),
    "ignore_bias_buffers": _here("training.ddp_broadcast_buffers", note="off: buffers stay each process's own"),
    # DatasetMixtureConfig and its DatasetConfig
    "datasets": _here("sources"),
    "streaming": _not_here(_STREAMED),
    "test_split_size": _here("formats.eval_fraction", note="held out by a hash of the prompt, never on both sides"),
    "data_dir": _here("sources.path", note="the folder is part of the path"),
    "data_files": _here("sources.path", note="a pattern, `data/*.jsonl`"),
}
"""Fields of TRL's SFTConfig, ModelConfig, ScriptArguments, DatasetMixtureConfig and DatasetConfig."""

FORMER: Mapping[str, Counterpart] = {
    "max_seq_length": _here("tokens.max_length"),
    "warmup_ratio": _here("training.warmup_steps", note="a number below 1 is a share of all steps"),
    "evaluation_strategy": _here("training.eval_strategy"),
    "group_by_length": _here("training.train_sampling_strategy", note="`train_sampling_strategy: group_by_length`"),
    "no_cuda": _here("runtime.launch", note="`{cpu: true}` leaves the GPU alone"),
    "half_precision_backend": _not_here("there is one way, PyTorch's own"),
    "save_safetensors": _not_here("weights are always saved as safetensors"),
    "logging_dir": _not_here("MLflow tracks every run, under `registry.experiment`"),
    "overwrite_output_dir": _not_here("artifacts are written to the store, and never overwritten"),
    "include_tokens_per_second": _not_here("every line of training metrics has `tokens_per_second`"),
    "use_liger": _here("training.use_liger_kernel"),
}
"""Field names of earlier versions of TRL and transformers."""

_TRACKER = "MLflow tracks every run, under `registry.experiment`"
_NAMED = "runs are called by the recipe's `name`"
_CAUSAL = "models are causal language models"
_ORDER = "rows of a batch are padded at their end, and padding never counts"

TRLX: Mapping[str, Counterpart] = {
    "model.model_path": _here("model.path"),
    "model.model_arch_type": _not_here(_CAUSAL),
    "model.num_layers_unfrozen": _here("training.num_layers_unfrozen"),
    "model.peft_config": _here("training.peft"),
    "model.model_extra_configs": _here("model.config", note="with `init: config`; trlX lays it over any model"),
    "tokenizer.tokenizer_path": _here("model.tokenizer"),
    "tokenizer.padding_side": _not_here(_ORDER),
    "tokenizer.truncation_side": _here("tokens.truncation_mode", note="`right` is `keep_start`, `left` is `keep_end`"),
    "tokenizer.tokenizer_extra_configs": _here(
        "model.additional_special_tokens",
        "chat.chat_template_path",
        "tokens.eos_token",
        note="what a tokenizer is made of is changed in its folder",
    ),
    "optimizer.name": _here(
        "training.optim",
        note="`adamw` is `adamw_torch`, `adamw_8bit_bnb` is `adamw_bnb_8bit`, `sgd` is `sgd`; Adam with coupled decay "
        "is not among transformers' optimizers",
    ),
    "optimizer.kwargs": _here(
        "training.learning_rate",
        "training.weight_decay",
        "training.adam_beta1",
        "training.adam_beta2",
        "training.adam_epsilon",
        "training.optim_args",
        note="`betas` are two fields; `lr`, `eps` and `weight_decay` are accepted under these names",
    ),
    "scheduler.name": _here(
        "training.lr_scheduler_type", note="`cosine_annealing` is `cosine`, or `cosine_with_min_lr` with an `eta_min`"
    ),
    "scheduler.kwargs": _here(
        "training.lr_scheduler_kwargs",
        note="`eta_min` is `min_lr`; trlX's default `T_max` of 1e12 steps is `lr_scheduler_type: constant`",
    ),
    "train.total_steps": _here(
        "training.max_steps", note="overrides `num_train_epochs`; trlX stops at whichever comes first"
    ),
    "train.seq_length": _here("tokens.max_length"),
    "train.epochs": _here("training.num_train_epochs"),
    "train.batch_size": _here("training.per_device_train_batch_size", note="of each process, as in trlX"),
    "train.minibatch_size": _here(
        "training.per_device_train_batch_size",
        "training.gradient_accumulation_steps",
        note="the batch is the product of both; the loss of a step has one denominator however it is divided",
    ),
    "train.checkpoint_interval": _here("training.save_steps"),
    "train.eval_interval": _here("training.eval_steps", note="with `eval_strategy: steps`, which it implies"),
    "train.pipeline": _not_here("the format of rows is detected from the rows; docs/formats.md has trlX's dialogues"),
    "train.trainer": _not_here("there is one trainer"),
    "train.trainer_kwargs": _not_here("there is one trainer, and each option is a field of `training`"),
    "train.project_name": _here("registry.experiment", note="an MLflow experiment"),
    "train.run_name": _not_here(_NAMED),
    "train.entity_name": _not_here(_TRACKER),
    "train.group_name": _not_here(_TRACKER),
    "train.checkpoint_dir": _not_here("artifacts are written to the store, below `runtime.home`"),
    "train.rollout_logging_dir": _not_here("nothing is rolled out in supervised training"),
    "train.save_best": _here(
        "training.load_best_model_at_end",
        "training.metric_for_best_model",
        note="by any number of the evaluation, not by `reward/mean` alone",
    ),
    "train.save_optimizer": _not_here("checkpoints always have the optimizer's state, needed to resume"),
    "train.resume_from_checkpoint": _not_here("running the same recipe again resumes the interrupted training"),
    "train.tracker": _not_here(_TRACKER),
    "train.logging_dir": _not_here(_TRACKER),
    "train.tags": _not_here(_TRACKER + ", with the recipe as its parameters"),
    "train.seed": _here("training.seed", note="the same on all processes; trlX adds the rank"),
    "method.name": _not_here("the method is supervised fine-tuning"),
    "method.gen_kwargs": _here("evaluation.gen_kwargs"),
}
"""Fields of trlX's TRLConfig for supervised fine-tuning."""


def counterpart(path: str) -> str | None:
    """Return what to write instead of a name of TRL or trlX; None if the name is unknown.

    Args:
        path: Dotted path in the recipe, for example `training.dataset_num_proc` or `train.tracker`.
    """
    name = path.rpartition(".")[2]
    found = TRLX.get(path) or TRL.get(name) or FORMER.get(name)
    if found is None:
        return None
    fields = " and ".join(f"`{field}`" for field in found.fields)
    return "; ".join(part for part in (f"write {fields}" if fields else "no such field here", found.note) if part)
