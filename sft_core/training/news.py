"""What is told of a training while it runs, from the lines of its `metrics.jsonl`: one sentence on how it stands, and
the few lines that are worth a place in a log.

    step 250 of 372, epoch 2.69, loss 0.0033, held-out loss 0.11, 1,386 tokens/s

A log gets at most `MESSAGES` lines of steps and as many of evaluations, however long the training is: a 10,000-step
training that logs every step and evaluates every 10 has 201 and 201. Prefect keeps up to 10,000 messages that wait for
its server, and drops what comes then.
"""

from collections.abc import Mapping
from typing import Any

PLACEMENT = "It puts how training goes into words."

MESSAGES = 200
"""Of each kind, in a training that is not interrupted; its last step and its last evaluation are told on top."""
SECONDS_BETWEEN_STEPS = 30.0
STEPS, EVALUATIONS, CHECKPOINTS = "steps", "evaluations", "checkpoints"
Line = Mapping[str, Any]


class Standing:
    """How a training stands: the newest of each number."""

    def __init__(self) -> None:
        self.step, self.max_steps = 0, 0
        self._numbers: dict[str, float] = {}

    def add(self, line: Line) -> None:
        """Take a line."""
        self.step, self.max_steps = line["step"], line["max_steps"]
        self._numbers |= {name: value for name, value in line.items() if isinstance(value, int | float)}

    def in_words(self) -> str:
        """All that is known, in a row."""
        return describe({**self._numbers, "step": self.step, "max_steps": self.max_steps})


class News:
    """Chooses the lines that a log gets."""

    def __init__(self) -> None:
        self._last_step = {STEPS: -1, EVALUATIONS: -1, CHECKPOINTS: -1}
        self._last_time = float("-inf")

    def is_new_checkpoint(self, step: int, max_steps: int) -> bool:
        """Whether a checkpoint is told of, which it is once."""
        last = self._last_step[CHECKPOINTS]
        is_told = step > last and (last < 0 or step >= max_steps or step - last >= max_steps / MESSAGES)
        self._last_step[CHECKPOINTS] = step if is_told else last
        return is_told

    def of(self, line: Line) -> str | None:
        """Say what is told of a line; None: nothing."""
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
    """One line in words; what it has not is left out."""
    parts = [f"step {line['step']:,} of {line['max_steps']:,}"]
    for name, words in (("epoch", "epoch {:.2f}"), ("loss", "loss {:.4g}"), ("eval_loss", "held-out loss {:.4g}")):
        parts += [words.format(line[name])] if name in line else []
    parts += [f"{line['tokens_per_second']:,.0f} tokens/s"] if "tokens_per_second" in line else []
    return ", ".join(parts)
