"""Follow a child process through the files that it writes.

Its progress goes to `tasks.progress`, and important messages go to the flow run's log. Its complete output stays in a
log file of its own, whose path is in the flow run's log.
"""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from sft_core.inspection.markdown import excerpt
from sft_core.training import METRICS_FILE, START_FILE, TrainStart, whole_checkpoints
from sft_core.training.news import NewestMetrics, News
from tasks.processes.tail import Tail
from tasks.progress import StageProgress, logger
from tasks.progress.pace import Pace, left_in_words

PLACEMENT = "It shows progress."

WARNING = re.compile(r"\bWARNING\b|Warning: |^W\d{4} ")
"""Matches warnings of Python, transformers and torch."""
MAX_WARNINGS = 20
WARNING_CHARS = 500


class _Watch:
    """Base of both watches: it shows progress, and copies warnings from the log file to a logger."""

    def __init__(self, stage: str, unit: str, log: Path) -> None:
        self.progress = StageProgress(stage, unit)
        self.logger = logger()
        self._log, self._printed = log, Tail(log, from_end=True)
        self._warnings: set[str] = set()
        self._is_blind = False

    def update(self) -> None:
        """Report what is new; an error while doing so is logged once and never ends the work."""
        if self._is_blind:
            return
        try:
            self.look()
        except Exception:
            self._is_blind = True
            self.logger.warning("the progress of the process can no longer be shown", exc_info=True)

    def look(self) -> None:
        raise NotImplementedError

    def tell_warnings(self) -> None:
        for line in self._printed.lines():
            text = excerpt(line.decode(errors="replace"), WARNING_CHARS)
            if WARNING.search(text) and text not in self._warnings and len(self._warnings) < MAX_WARNINGS:
                self._warnings.add(text)
                self.logger.warning(text)

    def __enter__(self) -> Self:
        self.progress.__enter__()
        self.logger.info("the output of the process is in %s", self._log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.__exit__(kind, error, trace)


class TrainingWatch(_Watch):
    """Follows `start.json`, `metrics.jsonl`, the checkpoints and the log of a training.

    Progress begins at what an earlier attempt has written, which is not reported again.
    """

    def __init__(self, work: Path, log: Path) -> None:
        super().__init__("training", "step", log)
        self._work, self._lines = work, Tail(work / METRICS_FILE)
        self._newest, self._news, self._pace = NewestMetrics(), News(), Pace()
        self._is_start_told = False
        for line in self._new_lines():
            self._newest.add(line)
        if self._newest.max_steps:
            self._tell_progress()

    def look(self) -> None:
        """Report what is new."""
        self._tell_start()
        self.tell_warnings()
        lines = list(self._new_lines())
        for line in lines:
            self._newest.add(line)
            self._pace.add(line["time"], line["step"])
            if (message := self._news.of(line)) is not None:
                self.logger.info(message)
        if lines:
            self._tell_checkpoint()
            self._tell_progress()

    def _new_lines(self) -> Iterator[dict[str, Any]]:
        return (json.loads(line) for line in self._lines.lines())  # not orjson: a norm may be Infinity

    def _tell_start(self) -> None:
        file = self._work / START_FILE
        if self._is_start_told or not file.exists():
            return
        try:
            start = TrainStart.model_validate_json(file.read_bytes())
        except ValidationError:  # the file is still being written
            return
        self._is_start_told = True
        self.logger.info(start.in_words())

    def _tell_checkpoint(self) -> None:
        newest = max((checkpoint.manifest.step for checkpoint in whole_checkpoints(self._work)), default=None)
        if newest is not None and self._news.is_new_checkpoint(newest, self._newest.max_steps):
            self.logger.info("checkpoint at step %s", f"{newest:,}")

    def _tell_progress(self) -> None:
        step, total = self._newest.step, self._newest.max_steps
        words = ", ".join([self._newest.in_words(), *left_in_words(self._pace.seconds_left(total))])
        self.progress.tell(step, total, 100.0 * step / max(total, 1), words)


class EvaluationWatch(_Watch):
    """Follows `progress.jsonl` and the log of an evaluation."""

    def __init__(self, lines: Path, log: Path, num_models: int) -> None:
        """Open a watch.

        Args:
            lines: The progress file, as `sft_core.evaluation.progress` describes it.
            log: The log file with the output of the process.
            num_models: Number of models that are measured, one after the other.
        """
        super().__init__("evaluation", "batch or answer", log)
        self._lines, self._num_models = Tail(lines), num_models
        self._models: list[str] = []
        self._pace = Pace()

    def look(self) -> None:
        """Report the newest line."""
        self.tell_warnings()
        for line in (json.loads(line) for line in self._lines.lines()):
            if line["model"] not in self._models:
                self._models.append(line["model"])
                self.logger.info("measuring the %s model: %s", line["model"], _to_do(line))
            done, total = line["batches"] + line["answers"], line["of_batches"] + line["of_answers"]
            share = (len(self._models) - 1 + done / max(total, 1)) / max(self._num_models, len(self._models))
            self._pace.add(time.monotonic(), share)
            words = ", ".join([_done(line), *left_in_words(self._pace.seconds_left(1.0))])
            self.progress.tell(done, total, 100.0 * share, words, doing=f"{line['model']} model")


def _to_do(line: dict[str, Any]) -> str:
    return " and ".join(f"{line[f'of_{name}']:,} {name}" for name in ("batches", "answers") if line[f"of_{name}"])


def _done(line: dict[str, Any]) -> str:
    parts = [
        f"{line[name]:,} of {line[f'of_{name}']:,} {name}" for name in ("batches", "answers") if line[f"of_{name}"]
    ]
    return f"{line['model']} model: {', '.join(parts)}"
