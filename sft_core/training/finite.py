"""Check that losses and gradients are finite. If not, training ends with an error that names step, blocks and rows.

A loss that is NaN makes every weight NaN in the next step, and the model is lost. Checking each loss immediately would
make the device wait for this process in every step. So losses stay on the device, one per segment of a block, and are
checked when a line of metrics is written and before a checkpoint is saved: no checkpoint holds such weights.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

from sft_core.errors import RecipeError

if TYPE_CHECKING:
    from accelerate import Accelerator

    from sft_core.modeling import Blocks

MAX_NAMED = 8
"""Number of rows and of blocks that a message names at most."""


@dataclass(slots=True)
class FiniteCheck:
    """Losses and gradient norms that have not been checked yet."""

    _losses: list[tuple[int, Tensor, Tensor]] = field(default_factory=list)
    _norms: list[tuple[int, Tensor]] = field(default_factory=list)

    def add_losses(self, step: int, losses: Tensor, blocks: Tensor) -> None:
        """Record the losses of a micro-batch.

        Args:
            step: Optimizer step of the micro-batch, from 1.
            losses: [segments] summed loss of each segment.
            blocks: [segments] number of the block of each segment.
        """
        self._losses.append((step, losses, blocks))

    def add_norm(self, step: int, norm: Any) -> None:
        """Record the gradient norm of a step: a tensor, a number, or None with backends that do not compute it."""
        if norm is not None:
            norm = norm.full_tensor() if hasattr(norm, "full_tensor") else torch.as_tensor(norm)
            self._norms.append((step, norm.detach().reshape(1)))

    def check(self, accelerator: "Accelerator", blocks: "Blocks") -> None:
        """Check everything recorded since the last check. Every process has to call this.

        Args:
            accelerator: Collects the findings of all processes.
            blocks: The train split, in which the message looks up rows.

        Raises:
            RecipeError: if a loss or a gradient norm is NaN or infinite.
        """
        values = [losses for _, losses, _ in self._losses] + [norm.to(accelerator.device) for _, norm in self._norms]
        is_bad = ~torch.cat(values).isfinite().all() if values else torch.tensor(False, device=accelerator.device)
        if accelerator.reduce(is_bad.long().to(accelerator.device)).item():
            _refuse(gather_object(list(self._findings())), blocks)
        self._losses.clear()
        self._norms.clear()

    def _findings(self) -> Iterable[tuple[int, str, list[int]]]:
        """Yield (step, kind, blocks) of losses that are not finite, and of steps whose gradient norm is not finite."""
        bad_norms = {step for step, norm in self._norms if not norm.isfinite().all()}
        for step, losses, blocks in self._losses:
            found = sorted(set(blocks[~losses.isfinite()].tolist()))
            if found:
                yield step, "loss", found
            elif step in bad_norms:
                yield step, "gradient", sorted(set(blocks.tolist()))


def _refuse(findings: list[tuple[int, str, list[int]]], blocks: "Blocks") -> None:
    step = min(step for step, _, _ in findings)
    kinds = {kind for at, kind, _ in findings if at == step}
    kind = "loss" if "loss" in kinds else "gradient"
    numbers = sorted({block for at, what, of in findings if (at, what) == (step, kind) for block in of})
    what = "the loss is not a finite number" if kind == "loss" else "the losses are finite, but not the gradient's norm"
    raise RecipeError(
        f"training stopped: at step {step} {what}, in block{'s' if len(numbers) > 1 else ''} "
        f"{_listed(numbers)} of the train split{_rows(numbers, blocks)}. No checkpoint was saved after it. Look at "
        "these rows (`sft trace` shows them as the model sees them); if they are sound, try a lower "
        "`training.learning_rate` or longer `training.warmup_steps`, `training.bf16` instead of `fp16`, or "
        "`model.dtype: float32`"
    )


def _rows(numbers: list[int], blocks: "Blocks") -> str:
    if blocks.segments is None:
        return ""
    rows = sorted({row for number in numbers if number >= 0 for row in blocks.segments.rows_of_block(number)})
    return f", which holds {_listed([f'{source} row {row}'.strip() for source, row in rows])}"


def _listed(names: list[Any]) -> str:
    rest = len(names) - MAX_NAMED
    return ", ".join(map(str, names[:MAX_NAMED])) + (f" and {rest} more" if rest > 0 else "")
