"""Progress of a running evaluation, as lines of `progress.jsonl`.

    {"model": "trained", "batches": 12, "of_batches": 40, "answers": 0, "of_answers": 200}

Batches of held-out blocks are counted first, then answers to prompts; then both for the model before training.
"""

import time
from pathlib import Path

import orjson

SECONDS_A_LINE = 1.0


class Progress:
    """Counter of finished batches and answers of one model."""

    def __init__(self, path: Path, model: str, of_batches: int, of_answers: int) -> None:
        self._path = path
        self._counts = {"batches": 0, "of_batches": of_batches, "answers": 0, "of_answers": of_answers}
        self._model = model
        self._written_at = 0.0

    def add_batch(self) -> None:
        """Count one finished batch of blocks."""
        self._add("batches", 1)

    def add_answers(self, count: int) -> None:
        """Count some finished answers."""
        self._add("answers", count)

    def _add(self, what: str, count: int) -> None:
        self._counts[what] += count
        is_last = all(self._counts[name] == self._counts[f"of_{name}"] for name in ("batches", "answers"))
        if is_last or time.monotonic() - self._written_at >= SECONDS_A_LINE:
            self._written_at = time.monotonic()
            with self._path.open("ab") as file:
                file.write(orjson.dumps({"model": self._model, **self._counts}, option=orjson.OPT_APPEND_NEWLINE))
