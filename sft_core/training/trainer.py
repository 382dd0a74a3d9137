"""transformers' Trainer with its own batches and loss, and metrics that are sums over tokens divided by counts."""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from sft_core.modeling import (
    LIKELIHOOD,
    NUM_SUMS,
    Head,
    Objective,
    as_token_sums,
    attention_over_rows,
    base_of,
    evaluate_batches,
    loss_by_source,
    measure_head,
    offload_activations,
    router_aux_loss_coef,
    sum_by_segment,
    sum_by_source,
    supervise,
    weights_at_targets,
)
from sft_core.training.answers import Answerer
from sft_core.training.finite import FiniteCheck
from sft_core.training.loaders import eval_loader, train_loader
from sft_core.training.resumable import ResumableTrainer
from sft_core.training.speed import Speed
from sft_core.training.undisturbed import undisturbed
from sft_core.training.window import Window


class SupervisedTrainer(ResumableTrainer):
    """Trainer for packed blocks of tokens.

    The denominator of a step's loss is the number of targets in all its micro-batches on all processes, or the sum of
    their weights if the data has weights. Logged metrics are summed over all steps since the last line, and divided
    once.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        *args: Any,
        metrics_path: Path,
        objective: Objective = LIKELIHOOD,
        router_coef: float | None = None,
        offloads_activations: bool = False,
        answerer: Answerer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = True  # makes the Trainer count the targets of a whole step
        self.add_callback(_LogLastStep())
        self.add_callback(_StartWatch(self))
        self.window = Window(self.args.device, self.train_dataset.sources, objective)
        self.speed = Speed(self.model, arithmetic_dtype(self.args), self.args.world_size)
        self.finite = FiniteCheck()
        self._objective = objective
        self._router_coef = router_aux_loss_coef(self.model, router_coef)
        self._head: Head | None = None
        self._metrics_path = metrics_path
        self._offloads_activations = offloads_activations
        self._answerer = answerer

    def compute_loss_context_manager(self) -> ExitStack:
        """Return the context of the loss computation, which offloads activations to host memory if requested."""
        contexts: ExitStack = super().compute_loss_context_manager()
        if self._offloads_activations and torch.is_grad_enabled():
            contexts.enter_context(offload_activations(self.model, self.args.device))
        return contexts

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return a loader of the batches that `order` defines; accelerate's would fill up with blocks that were seen
        before."""
        return train_loader(self.args, self.train_dataset, self.data_collator)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """Return a loader of this process's share of the held-out blocks."""
        return eval_loader(self.args, self.eval_dataset if eval_dataset is None else eval_dataset, self.data_collator)

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
        self._head = self._head or measure_head(model, inputs)
        found = supervise(model, self._head, inputs, self._objective, with_router=self._router_coef > 0)
        segments = inputs["segments"]
        by_segment = sum_by_segment(found.target_losses, found.weights, segments["num_targets"])
        self.finite.add_losses(self.state.global_step + 1, by_segment[0], segments["block"])
        by_source = sum_by_source(by_segment, segments["source"], len(self.window.sources))
        self.window.add(found.sums, inputs["num_tokens"], inputs["num_pairs"], by_source, found.aux_loss)
        denominator = torch.where(num_items_in_batch > 0, num_items_in_batch, 1)  # 1 in a step without any target
        loss = found.loss / denominator * self.accelerator.num_processes
        if found.aux_loss is None:
            return loss
        # the router's loss is a mean over a micro-batch's tokens, and averaged over a step's micro-batches, as in TRL
        return loss + self._router_coef * found.aux_loss / self.current_gradient_accumulation_steps

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> Any:
        """Sum the weights of a step's targets over micro-batches and processes; without weights, count the targets."""
        if not batch_samples or "loss_weights" not in batch_samples[0]:
            return super()._get_num_items_in_batch(batch_samples, device)
        weights = (weights_at_targets(batch["loss_weights"], batch["labels"]) for batch in batch_samples)
        total = torch.stack([part.double().sum() for part in weights if part is not None]).sum()
        return self.accelerator.reduce(total.to(device))

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        """Return the norm, and record it to be checked together with the losses. With fp16 it is not recorded, because
        loss scaling makes infinite norms usual."""
        norm = super()._get_grad_norm(model, grad_norm)
        if not self.args.fp16:
            self.finite.add_norm(self.state.global_step + 1, norm)
        return norm

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Return 0: the Trainer would iterate over all parameters in every step. `speed` counts instead."""
        return 0

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Check that losses and gradients are finite, and write a checkpoint. Its time is not measured as training."""
        self.finite.check(self.accelerator, self.train_dataset)
        with self.speed.paused():
            super()._save_checkpoint(*args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write one line of `metrics.jsonl`. Training metrics come from the sums in `window`."""
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

    def _evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate between two steps, without an effect on the steps that follow."""
        with self.speed.paused(), undisturbed(self.model):
            metrics: dict[str, float] = super()._evaluate(*args, **kwargs)
        return metrics

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Return −log p over all held-out blocks, each counted exactly once, and the scores of answers to prompts if
        requested."""
        del ignore_keys
        blocks, prefix = self.eval_dataset if eval_dataset is None else eval_dataset, f"{metric_key_prefix}_"
        with self.compute_loss_context_manager():
            metrics = {**self._evaluate_blocks(blocks, prefix), **self._answer_prompts(prefix)}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _evaluate_blocks(self, blocks: Any, prefix: str) -> dict[str, float]:
        sources = blocks.sources if len(blocks.sources) > 1 else ()
        batches = self.get_eval_dataloader(blocks)
        sums = evaluate_batches(self.model, batches, self.args.device, len(sources), self._head)
        sums = self.accelerator.reduce(sums)
        return {**as_token_sums(sums[:NUM_SUMS]).means(prefix), **loss_by_source(sums[NUM_SUMS:], sources, prefix)}

    def _answer_prompts(self, prefix: str) -> dict[str, float]:
        if self._answerer is None:
            return {}
        with attention_over_rows(base_of(self.accelerator.unwrap_model(self.model))):
            scores = self._answerer.answer(self.model, self.state.global_step)
        return {f"{prefix}{name}": score for name, score in scores.items()}


def arithmetic_dtype(args: TrainingArguments) -> torch.dtype:
    """Return the type in which matrix products are computed."""
    return torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else torch.float32


class _StartWatch(TrainerCallback):
    """Callback that excludes the time before the first step from the measured time."""

    def __init__(self, trainer: SupervisedTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Set the stopwatch to zero."""
        self._trainer.speed.start()


class _LogLastStep(TrainerCallback):
    """Callback that logs the steps since the last full window, which would otherwise be lost."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Request a line of metrics at the last step."""
        if state.global_step >= state.max_steps:
            control.should_log = True
