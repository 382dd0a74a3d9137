"""Fields of `TrainingArguments` that a recipe cannot set, with the reason, and fields that accept only one value."""

from collections.abc import Mapping
from typing import Any

_TRACKING = "MLflow tracks every run, under `registry.experiment`; servers are named by MLFLOW_TRACKING_URI"
_HUB = "models are registered in MLflow; push the registered folder with `hf upload` where it should be on the Hub"
_PREDICTIONS = "held-out rows are measured as sums over tokens, and no prediction is kept; for answers see `evaluation`"
_SAME_ARITHMETIC = "held-out rows are measured with the arithmetic of the training, so that both losses can be compared"
_STAGES = "the command decides what runs: `sft run` trains and evaluates, `sft prepare` only prepares"
_RESUMING = "running the same recipe again resumes an interrupted training from its last checkpoint"
_EVEN = "the pipeline distributes blocks over processes itself, so that `sft trace` can name the rows of each step"

OWNED: Mapping[str, str] = {
    "output_dir": "artifacts are written to the store, below `runtime.home`",
    "report_to": _TRACKING,
    "run_name": "runs are named after the recipe's `name`",
    "project": _TRACKING,
    "trackio_space_id": _TRACKING,
    "trackio_bucket_id": _TRACKING,
    "trackio_static_space_id": _TRACKING,
    "disable_tqdm": "progress is shown by the command, from the lines of `metrics.jsonl`",
    "logging_nan_inf_filter": "logged numbers are sums over tokens divided by counts, and nothing is filtered",
    "include_num_input_tokens_seen": "`num_tokens` is always counted and logged",
    "skip_memory_metrics": "the Trainer's own summary is replaced by sums over tokens; `sft check` estimates memory",
    "push_to_hub": _HUB,
    "hub_token": _HUB,
    "hub_private_repo": _HUB,
    "hub_model_id": _HUB,
    "hub_strategy": _HUB,
    "hub_always_push": _HUB,
    "hub_revision": _HUB,
    "prediction_loss_only": _PREDICTIONS,
    "eval_do_concat_batches": _PREDICTIONS,
    "eval_use_gather_object": _PREDICTIONS,
    "eval_accumulation_steps": _PREDICTIONS,
    "include_for_metrics": _PREDICTIONS,
    "batch_eval_metrics": _PREDICTIONS,
    "bf16_full_eval": _SAME_ARITHMETIC,
    "fp16_full_eval": _SAME_ARITHMETIC,
    "save_on_each_node": "the artifact is written once, by the first process",
    "enable_jit_checkpoint": "the pipeline itself saves a checkpoint when a training is asked to end",
    "ignore_data_skip": _RESUMING + ", with the next block: otherwise some rows would be seen twice and others never",
    "restore_callback_states_from_checkpoint": _RESUMING,
    "resume_from_checkpoint": _RESUMING,
    "auto_find_batch_size": (
        "the batch size decides which blocks each step sees; lower `per_device_train_batch_size` and raise "
        "`gradient_accumulation_steps` by as much: the steps stay the same"
    ),
    "use_cpu": "a GPU is used if there is one; `runtime.launch: {cpu: true}` trains on the CPU",
    "accelerator_config": _EVEN,
    "dataloader_in_order": "the seed decides the order of batches, whichever process loads them",
    "remove_unused_columns": "the pipeline defines the columns of blocks; drop extra columns of your data in `sources`",
    "label_names": "the pipeline defines the columns of blocks",
    "length_column_name": "each block records its own length",
    "do_train": _STAGES,
    "do_eval": _STAGES,
    "do_predict": _STAGES,
    "local_rank": "the launcher gives each process its rank",
}
"""Field name → reason. A recipe that sets one of these fields is refused with the reason."""

ONE_VALUE: Mapping[str, tuple[Any, str]] = {
    "average_tokens_across_devices": (
        True,
        "the loss of a step is a mean over the targets of all processes: otherwise it would depend on their number",
    ),
    "save_only_model": (False, "an interrupted training could not resume from such checkpoints"),
    "use_cache": (False, "with a key-value cache, documents that share a block would attend to each other"),
}
"""Field name → the only value that is accepted, and the reason."""
