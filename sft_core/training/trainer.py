"""transformers' Trainer with our batches, our loss, and metrics that are sums over tokens divided by counts."""

import json
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Subset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from sft_core.modeling import (
    Head,
    LossType,
    as_token_sums,
    evaluate_batches,
    measure_head,
    router_aux_loss_coef,
    supervise,
    weights_at_targets,
)
from sft_core.training.router import RouterLoss
from sft_core.training.window import Window


class SupervisedTrainer(Trainer):
    """Trains on blocks.

    The denominator of a step's loss is the number of targets in all its micro-batches on all processes, or the sum of
    their weights where the data has weights. What is logged is summed over all steps since the last line, and divided
    once.
    """

    loss_is_scaled_for_ga = True
    control: TrainerControl

    def __init__(
        self,
        *args: Any,
        metrics_path: Path,
        loss_type: LossType = "nll",
        router_coef: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = True  # makes the Trainer count the targets of a whole step
        self.add_callback(_LogLastStep())
        self.window = Window(self.args.device, loss_type)
        self._loss_type: LossType = loss_type
        self._router = RouterLoss(router_aux_loss_coef(self.model, router_coef), self.args.device)
        self._head: Head | None = None
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
        num_tokens = inputs.pop("num_tokens")
        self._head = self._head or measure_head(model, inputs)
        found = supervise(model, self._head, inputs, self._loss_type, self._router.is_used)
        self.window.add(found.sums, num_tokens)
        denominator = torch.where(num_items_in_batch > 0, num_items_in_batch, 1)  # of a step without any target
        loss = found.loss / denominator * self.accelerator.num_processes
        if found.aux_loss is None:
            return loss
        return loss + self._router.share(found.aux_loss, self.current_gradient_accumulation_steps)

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> Any:
        """Sum the weights of a step's targets over micro-batches and processes; without weights, count the targets."""
        if not batch_samples or "loss_weights" not in batch_samples[0]:
            return super()._get_num_items_in_batch(batch_samples, device)
        weights = (weights_at_targets(batch["loss_weights"], batch["labels"]) for batch in batch_samples)
        total = torch.stack([part.double().sum() for part in weights if part is not None]).sum()
        return self.accelerator.reduce(total.to(device))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write one line of `metrics.jsonl`; training metrics come from our sums."""
        if "train_runtime" in logs:  # the Trainer's own summary: means of means
            return
        if "loss" in logs:
            logs = {**logs, **self.window.drain(self.accelerator), **self._router.drain(self.accelerator)}
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
        blocks = self.eval_dataset if eval_dataset is None else eval_dataset
        mine = Subset(blocks, range(self.args.process_index, len(blocks), self.args.world_size))
        batches = DataLoader(mine, batch_size=self.args.per_device_eval_batch_size, collate_fn=self.data_collator)
        with self.compute_loss_context_manager():
            sums = self.accelerator.reduce(evaluate_batches(self.model, batches, self.args.device, self._loss_type))
        metrics = as_token_sums(sums).means(f"{metric_key_prefix}_", self._loss_type)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class _LogLastStep(TrainerCallback):
    """Logs the steps since the last full window, which would otherwise be lost."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Ask for a line at the last step."""
        if state.global_step >= state.max_steps:
            control.should_log = True
