"""Train a model on blocks of tokens, in one or several processes of its own: `python -m sft_core.training plan.json`.

The same code runs on one GPU, many GPUs and many nodes, and a trainer that crashes does not take the flow down. It
imports only `sft_core` and reports through one file, `metrics.jsonl`, with one JSON line per logging step or
evaluation:

    {"step": 10, "max_steps": 300, "loss": 2.31, "entropy": 2.1, "mean_token_accuracy": 0.44, "num_tokens": 20480,
    "learning_rate": …, "grad_norm": …}

These properties always hold: the same seed gives the same losses; a training that was interrupted and resumed ends
like one that was not; padding has no loss; documents that share a block never attend to each other; every reported
number is a sum over tokens divided by a count.

Importing this package does not import torch: the function that trains, `sft_core.training.run.train`, is imported only
where it runs.
"""

from sft_core.training.checkpoints import CHECKPOINTS_FOLDER, rewind, whole_checkpoints
from sft_core.training.config import TrainingConfig
from sft_core.training.fields.milestones import steps_between
from sft_core.training.optimizers import TRAITS as OPTIMIZER_TRAITS
from sft_core.training.optimizers import options_of
from sft_core.training.order import batches_of_step, num_steps, steps_of_block, steps_per_epoch
from sft_core.training.plan import (
    METRICS_FILE,
    MODEL_FOLDER,
    PROBE_FILE,
    SAMPLES_FILE,
    START_FILE,
    TrainInputs,
    TrainPlan,
    TrainResult,
    TrainStart,
)
from sft_core.training.requirements import packages_of

__all__ = [
    "CHECKPOINTS_FOLDER",
    "METRICS_FILE",
    "MODEL_FOLDER",
    "OPTIMIZER_TRAITS",
    "PROBE_FILE",
    "SAMPLES_FILE",
    "START_FILE",
    "TrainInputs",
    "TrainPlan",
    "TrainResult",
    "TrainStart",
    "TrainingConfig",
    "batches_of_step",
    "num_steps",
    "options_of",
    "packages_of",
    "rewind",
    "steps_between",
    "steps_of_block",
    "steps_per_epoch",
    "whole_checkpoints",
]
