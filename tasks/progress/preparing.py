"""Progress of the preparation of data over all its stages: shards done, rows per second, time left."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

from sft_core.store.artifact import ArtifactStore, Manifest, Plan
from tasks.progress.pace import Pace, left_in_words
from tasks.progress.stage_progress import StageProgress

PLACEMENT = "It shows progress."

SECONDS_A_COUNT = 1.0
"""Minimum time between two counts of rows, which read the manifests of newly finished shards."""
_CURRENT: ContextVar["Preparation | None"] = ContextVar("preparation", default=None)


class Preparation:
    """Progress over the stages of one preparation, in order; each stage counts as the same fraction of the whole."""

    def __init__(self, stages: Sequence[str], progress: StageProgress) -> None:
        self._stages, self._progress = list(stages), progress

    def tell(self, stage: str, done: int, total: int, words: str) -> None:
        """Show how many shards of a stage are done."""
        part = self._stages.index(stage) if stage in self._stages else 0
        percent = 100.0 * (part + done / total) / len(self._stages)
        self._progress.tell(done, total, percent, f"{stage}: {words}", doing=stage)


class ShardProgress:
    """Counter of the finished shards of one stage."""

    def __init__(self, stage: str, store: ArtifactStore, missing: Sequence[Plan], num_planned: int) -> None:
        self._stage, self._store, self._pending = stage, store, list(missing)
        self._num_done, self._num_planned = num_planned - len(missing), num_planned
        self._rows, self._rows_pace, self._shards_pace = 0, Pace(), Pace()
        self._counted_at = 0.0
        self._started_at = time.monotonic()
        self._rows_pace.add(self._started_at, 0)
        self._shards_pace.add(self._started_at, self._num_done)

    def update(self) -> None:
        """Count one more finished shard, and show the progress."""
        self._num_done += 1
        now = time.monotonic()
        self._shards_pace.add(now, self._num_done)
        if now - self._counted_at >= SECONDS_A_COUNT or self._num_done == self._num_planned:
            self._counted_at = now
            self._count_rows(now)
        current = _CURRENT.get()
        if current is not None:
            current.tell(self._stage, self._num_done, self._num_planned, self._in_words())

    def _count_rows(self, now: float) -> None:
        pending = []
        for plan in self._pending:
            manifest = self._store.find(plan.ref)
            if manifest is None:
                pending.append(plan)
            else:
                self._rows += rows_of(manifest)
        self._pending = pending
        self._rows_pace.add(now, self._rows)

    def _in_words(self) -> str:
        rate = self._rows_pace.per_second
        return ", ".join(
            [
                f"{self._num_done:,} of {self._num_planned:,} shards",
                *([f"{rate:,.0f} rows/s"] if rate else []),
                *left_in_words(self._shards_pace.seconds_left(self._num_planned)),
            ]
        )


def rows_of(manifest: Manifest) -> int:
    """Return the number of rows that went into a shard."""
    return int(manifest.facts.get("rows") or (manifest.ledger.rows_in if manifest.ledger else 0))


@contextlib.contextmanager
def preparation(stages: Sequence[str]) -> Iterator[None]:
    """Show the progress of the given stages as that of one task, while a block runs them in this order."""
    with StageProgress("preparation", "shard") as progress:
        token = _CURRENT.set(Preparation(stages, progress))
        try:
            yield
        finally:
            _CURRENT.reset(token)
