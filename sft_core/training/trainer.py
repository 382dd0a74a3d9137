"""transformers' Trainer with our batches, our loss, and metrics that are sums over tokens divided by counts."""

import json
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Subset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from sft_core.modeling import (
    as_token_sums,
    evaluate_batches,
    forward_at_targets,
    sum_by_segment,
    sum_by_source,
    sum_over_targets,
    weights_at_targets,
)
from sft_core.training.finite import FiniteCheck
from sft_core.training.speed import Speed
from sft_core.training.window import Window, loss_by_source


class SupervisedTrainer(Trainer):
    """Trains on blocks.

    The denominator of a step's loss is the number of targets in all its micro-batches on all processes, or the sum of
    their weights where the data has weights. What is logged is summed over all steps since the last line, and divided
    once.
    """

    loss_is_scaled_for_ga = True
    control: TrainerControl

    def __init__(self, *args: Any, metrics_path: Path, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = True  # makes the Trainer count the targets of a whole step
        self.add_callback(_LogLastStep())
        self.add_callback(_StartWatch(self))
        self.window = Window(self.args.device, self.train_dataset.sources)
        self.speed = Speed(self.model, arithmetic_dtype(self.args), self.args.world_size)
        self.finite = FiniteCheck()
        self._metrics_path = metrics_path

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return this micro-batch's share of the step's mean loss.

        DDP averages gradients over processes, so the share is scaled by their number.
        """
        labels, segments = inputs.pop("labels"), inputs.pop("segments")
        num_tokens, num_pairs = inputs.pop("num_tokens"), inputs.pop("num_pairs")
        head = self.accelerator.unwrap_model(model).get_output_embeddings()
        weights = weights_at_targets(inputs.pop("loss_weights", None), labels)
        loss, sums, losses = sum_over_targets(*forward_at_targets(model, head, inputs, labels), weights)
        by_segment = sum_by_segment(losses, weights, segments["num_targets"])
        self.finite.add_losses(self.state.global_step + 1, by_segment[0], segments["block"])
        by_source = sum_by_source(by_segment, segments["source"], len(self.window.sources))
        self.window.add(sums, num_tokens, num_pairs, by_source)
        denominator = torch.where(num_items_in_batch > 0, num_items_in_batch, 1)  # of a step without any target
        return loss / denominator * self.accelerator.num_processes

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> Any:
        """Sum the weights of a step's targets over micro-batches and processes; without weights, count the targets."""
        if not batch_samples or "loss_weights" not in batch_samples[0]:
            return super()._get_num_items_in_batch(batch_samples, device)
        weights = (weights_at_targets(batch["loss_weights"], batch["labels"]) for batch in batch_samples)
        total = torch.stack([part.double().sum() for part in weights if part is not None]).sum()
        return self.accelerator.reduce(total.to(device))

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        """Remember the norm, to be looked at with the losses; under loss scaling an infinite one is nothing unusual."""
        norm = super()._get_grad_norm(model, grad_norm)
        if not self.args.fp16:
            self.finite.add_norm(self.state.global_step + 1, norm)
        return norm

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Count nothing: the Trainer would walk over all parameters in every step; see `speed`."""
        return 0

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Write a checkpoint of weights that are numbers, outside the measured time."""
        self.finite.check(self.accelerator, self.train_dataset)
        with self.speed.paused():
            super()._save_checkpoint(*args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write one line of `metrics.jsonl`; training metrics come from our sums."""
        if "train_runtime" in logs:  # the Trainer's own summary: means of means
            return
        if "loss" in logs:
            self.finite.check(self.accelerator, self.train_dataset)
            counted = self.window.drain(self.accelerator)
            logs = {**logs, **counted.metrics, **self.speed.drain(counted.num_tokens, counted.num_pairs)}
        super().log(logs, start_time)
        if self.is_world_process_zero():
            line = {"step": self.state.global_step, "max_steps": self.state.max_steps, "time": time.time(), **logs}
            with self._metrics_path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Evaluate the loss over all held-out blocks, each exactly once."""
        del ignore_keys
        with self.speed.paused():
            metrics = self._evaluate_blocks(
                self.eval_dataset if eval_dataset is None else eval_dataset, f"{metric_key_prefix}_"
            )
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _evaluate_blocks(self, blocks: Any, prefix: str) -> dict[str, float]:
        mine = Subset(blocks, range(self.args.process_index, len(blocks), self.args.world_size))
        batches = DataLoader(mine, batch_size=self.args.per_device_eval_batch_size, collate_fn=self.data_collator)
        sources = blocks.sources if len(blocks.sources) > 1 else ()
        with self.compute_loss_context_manager():
            sums = evaluate_batches(self.model, batches, self.args.device, len(sources))
        sums = self.accelerator.reduce(sums)
        return {**as_token_sums(sums[:5]).means(prefix), **loss_by_source(sums[5:], sources, prefix)}


def arithmetic_dtype(args: TrainingArguments) -> torch.dtype:
    """What matrix products are computed in."""
    return torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else torch.float32


class _LogLastStep(TrainerCallback):
    """Logs the steps since the last full window, which would otherwise be lost."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Ask for a line at the last step."""
        if state.global_step >= state.max_steps:
            control.should_log = True


class _StartWatch(TrainerCallback):
    """Leaves out what comes before the first step."""

    def __init__(self, trainer: SupervisedTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Set the stopwatch to zero."""
        self._trainer.speed.start()
