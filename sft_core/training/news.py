"""Progress messages of a running training, made of the lines of its `metrics.jsonl`: one with the newest numbers, and
a limited number of messages for a log.

    step 250 of 372, epoch 2.69, loss 0.0033, held-out loss 0.11, 1,386 tokens/s

A log gets about `MESSAGES` messages about steps and as many about evaluations, however long the training is: a
10,000-step training that logs every step and evaluates every 10 has 201 and 201. Prefect queues up to 10,000 messages
for its server and drops further ones.
"""

from collections.abc import Mapping
from typing import Any

PLACEMENT = "It describes the progress of a training in messages."

MESSAGES = 200
"""Number of messages of each kind in a training that is not interrupted; its last step and its last evaluation are
reported in addition."""
SECONDS_BETWEEN_STEPS = 30.0
STEPS, EVALUATIONS, CHECKPOINTS = "steps", "evaluations", "checkpoints"
Line = Mapping[str, Any]


class NewestMetrics:
    """Current state of a training: the newest value of each number in its metrics."""

    def __init__(self) -> None:
        self.step, self.max_steps = 0, 0
        self._numbers: dict[str, float] = {}

    def add(self, line: Line) -> None:
        """Update the state with a line of metrics."""
        self.step, self.max_steps = line["step"], line["max_steps"]
        self._numbers |= {name: value for name, value in line.items() if isinstance(value, int | float)}

    def in_words(self) -> str:
        """Return a message with all known numbers."""
        return describe({**self._numbers, "step": self.step, "max_steps": self.max_steps})


class News:
    """Filter that chooses which lines of metrics are reported in a log."""

    def __init__(self) -> None:
        self._last_step = {STEPS: -1, EVALUATIONS: -1, CHECKPOINTS: -1}
        self._last_time = float("-inf")

    def is_new_checkpoint(self, step: int, max_steps: int) -> bool:
        """Return whether to report the checkpoint of a step. Each checkpoint is reported at most once."""
        last = self._last_step[CHECKPOINTS]
        is_reported = step > last and (last < 0 or step >= max_steps or step - last >= max_steps / MESSAGES)
        self._last_step[CHECKPOINTS] = step if is_reported else last
        return is_reported

    def of(self, line: Line) -> str | None:
        """Return the message for a line of metrics, or None if the line is not reported."""
        kind = EVALUATIONS if "eval_loss" in line else STEPS
        step, last = line["step"], self._last_step[kind]
        is_end = step >= line["max_steps"] and step > last
        is_far = last < 0 or step - last >= line["max_steps"] / MESSAGES
        is_late = kind == EVALUATIONS or line["time"] - self._last_time >= SECONDS_BETWEEN_STEPS
        if not is_end and not (is_far and is_late):
            return None
        self._last_step[kind] = step
        if kind == STEPS:
            self._last_time = line["time"]
        return describe(line)


def describe(line: Line) -> str:
    """Describe a line of metrics in a message. Numbers that the line does not have are omitted."""
    parts = [f"step {line['step']:,} of {line['max_steps']:,}"]
    for name, form in (("epoch", "epoch {:.2f}"), ("loss", "loss {:.4g}"), ("eval_loss", "held-out loss {:.4g}")):
        parts += [form.format(line[name])] if name in line else []
    parts += [f"{line['tokens_per_second']:,.0f} tokens/s"] if "tokens_per_second" in line else []
    return ", ".join(parts)
