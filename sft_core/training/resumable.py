"""transformers' Trainer with complete checkpoints, from which a resumed training gives the same result.

The Trainer's own checkpoints have three gaps. They are written in place, so an interruption can leave half of one. They
lack the counts since the last line of metrics. That of an epoch's last step is written before the evaluation at the
epoch's end, which a resumed training would then skip. Here a checkpoint is written after everything about its step has
been reported.
"""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import rotate_checkpoints

from sft_core.errors import RecipeError, StageInterruptedError
from sft_core.training.checkpoints import (
    UNFINISHED,
    Checkpoint,
    checkpoint_name,
    counters_file,
    journal_bytes,
    newest_checkpoint,
    rewind,
    seal,
)
from sft_core.training.companions import Companions
from sft_core.training.disk import checkpoint_bytes, require_room
from sft_core.training.renamed import has_other_names, load_weights
from sft_core.training.window import Window

logger = logging.getLogger(__name__)

TRAINER_STATE_FILE = "trainer_state.json"


class ResumableTrainer(Trainer):
    """Trainer that saves complete checkpoints in `output_dir` and resumes from them. The journals (`metrics.jsonl`,
    `samples.jsonl`) are in the parent folder.

    Attributes:
        window: What was counted since the last line of metrics, and since the start; a part of every checkpoint.
        kept_with_weights: Tokenizer, chat template and processor, which are saved in every checkpoint, so that it can
            be loaded as a model. They are not passed to the Trainer itself, which would change the model's settings
            to match them.
        is_end_requested: Called after each step. Once it returns True on any process, all processes save a checkpoint
            and end.
    """

    control: TrainerControl
    window: Window
    is_end_requested: Callable[[], bool]
    kept_with_weights: Companions | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_callback(_Milestones(self))
        self.is_end_requested = lambda: False
        self._checkpoints = Path(self.args.output_dir)
        self._aside: Path | None = None
        self._is_epoch_over = self._is_save_due = self._is_ending = self._is_done = False
        self._started = time.time()

    @property
    def seconds(self) -> float:
        """Seconds of training so far, including those before an interruption."""
        return time.time() - self._started

    def train_to_end(self) -> int | None:
        """Train to the end, from the newest checkpoint if there is one.

        Returns:
            The step that training resumed from; None if it started from the beginning.

        Raises:
            StageInterruptedError: if training was asked to end; a checkpoint has been saved.
            RecipeError: if another number of processes wrote the checkpoint, or the disk is full.
        """
        checkpoint = self._rewind()
        if checkpoint is None:
            self.train()
            return None
        if self.is_world_process_zero():
            logger.warning("resumed from step %d (%s)", checkpoint.manifest.step, checkpoint.folder)
        self.args.eval_on_start = False
        self._is_done = checkpoint.manifest.is_last
        self._started -= checkpoint.manifest.seconds
        counters = (checkpoint.folder / counters_file(self.args.process_index)).read_text(encoding="utf-8")
        self.window.restore(json.loads(counters))
        self.train(resume_from_checkpoint=str(checkpoint.folder))
        return checkpoint.manifest.step

    def _rewind(self) -> Checkpoint | None:
        if self.args.should_save:
            rewind(self._checkpoints.parent)
        self.accelerator.wait_for_everyone()
        checkpoint = newest_checkpoint(self._checkpoints.parent)
        if checkpoint is not None and checkpoint.manifest.num_processes != self.args.world_size:
            raise RecipeError(
                f"{checkpoint.folder} was written by {checkpoint.manifest.num_processes} processes, found "
                f"{self.args.world_size}; train with as many, or remove the folder to start over"
            )
        return checkpoint

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        """Load the weights of a checkpoint, also if transformers saved them under other names."""
        folder = Path(resume_from_checkpoint)
        if self.is_fsdp_enabled or self.is_deepspeed_enabled or not has_other_names(self.model, folder):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_weights(self.model, folder)

    def _load_best_model(self) -> None:
        """Load the best checkpoint's weights, also if transformers saved them under other names."""
        folder = Path(self.state.best_model_checkpoint or "")
        if self.is_fsdp_enabled or self.is_deepspeed_enabled or not has_other_names(self.model, folder):
            super()._load_best_model()
        else:
            load_weights(self.model, folder)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Train an epoch, unless the checkpoint was of the last step: the Trainer would do one step too many."""
        if self._is_done:
            self.control.should_training_stop = True
        else:
            super()._run_epoch(*args, **kwargs)

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Compare an evaluation with the best so far. With `load_best_model_at_end`, request a checkpoint of a new
        best, also between two regular checkpoints."""
        is_best: bool = super()._determine_best_metric(metrics, trial)
        if is_best and self.args.load_best_model_at_end:
            self.control.should_save = True
        return is_best

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Save a checkpoint. That of an epoch's last step is put off until after the evaluation at the epoch's end."""
        is_last_of_epoch = self.state.epoch == int(self.state.epoch or 0) or self.control.should_training_stop
        self._is_save_due = is_last_of_epoch and not self._is_epoch_over
        if self._is_save_due:
            return
        final = self._checkpoints / checkpoint_name(self.state.global_step)
        self._require_room(final)
        self._name_best()
        self._aside = self._checkpoints / UNFINISHED
        super()._save_checkpoint(model, trial)
        aside, self._aside = self._aside / final.name, None
        self._name_best()
        counters = json.dumps(self.window.state())
        (aside / counters_file(self.args.process_index)).write_text(counters, encoding="utf-8")
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            self.state.save_to_json(str(aside / TRAINER_STATE_FILE))
            if self.kept_with_weights is not None:
                self.kept_with_weights.save(aside)
            seal(
                aside,
                final,
                num_processes=self.args.world_size,
                is_last=self.control.should_training_stop,
                seconds=self.seconds,
                journals=journal_bytes(self._checkpoints.parent),
            )
            best = self.state.best_model_checkpoint
            rotate_checkpoints(str(self._checkpoints), self.args.save_total_limit, best)
        self.accelerator.wait_for_everyone()
        if self._is_ending:
            raise StageInterruptedError(
                f"training was asked to end and stopped at step {self.state.global_step} of {self.state.max_steps}; "
                f"its checkpoint is {final}, from which the same command resumes"
            )

    def _get_output_dir(self, trial: Any) -> str:
        """Return the folder that the Trainer writes to, `unfinished` while it saves a checkpoint."""
        return str(self._aside or super()._get_output_dir(trial))

    def _name_best(self) -> None:
        """Set the path of the best checkpoint to the folder that it has once it is complete."""
        step = self.state.best_global_step
        if step:
            folder = self._checkpoints / checkpoint_name(step)
            is_there = step == self.state.global_step or folder.is_dir()
            self.state.best_model_checkpoint = str(folder) if is_there else None

    def _require_room(self, final: Path) -> None:
        if self.args.should_save:
            num_bytes = checkpoint_bytes(self.accelerator.unwrap_model(self.model), self.optimizer)
            require_room(self._checkpoints, num_bytes, f"the checkpoint of step {self.state.global_step}")

    def request_end_everywhere(self) -> bool:
        """Return whether any process was asked to end. All get the same answer, so they end at the same step."""
        is_mine = self.is_end_requested()
        if self.args.world_size > 1:
            is_mine = bool(self.accelerator.reduce(torch.tensor(int(is_mine), device=self.args.device)).item())
        self._is_ending = self._is_ending or is_mine
        return self._is_ending

    def open_epoch(self, is_over: bool) -> bool:
        """Record whether the epoch is over, and return whether a checkpoint of its last step is due."""
        self._is_epoch_over = is_over
        return self._is_save_due


class _Milestones(TrainerCallback):
    """Callback that requests the checkpoints that the Trainer would not write, or not at that time."""

    def __init__(self, trainer: ResumableTrainer) -> None:
        self._trainer = trainer

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Record that an epoch has begun."""
        self._trainer.open_epoch(is_over=False)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Request a checkpoint if training was asked to end."""
        if self._trainer.request_end_everywhere():
            control.should_save = True

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Request the checkpoint that was put off at the epoch's last step."""
        if self._trainer.open_epoch(is_over=True):
            control.should_save = True
