"""Processes that make the artifacts of shards side by side.

What is to be done for a shard is `Work`: a function of `sft_core` with its arguments, which fills a folder. So a worker
loads `sft_core` and nothing of Prefect or MLflow, and what it makes exists like everything else: whole, by one rename.
A worker that dies leaves no half artifact, and the shards that were finished stay finished.

Few shards are made in this process, one after the other: starting workers takes about a second. A thread a shard was
tried for them and is slower: each short call of the encoder gives up the interpreter's lock, and waits up to 5 ms for a
thread that is at work in Python to give it back. Several threads that do nothing but encode one shard do not wait.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from sft_core.artifact import ArtifactRef, ArtifactStore, Plan
from sft_core.errors import StageFailedError, StageTimeoutError
from sft_core.fingerprint import Placement
from sft_core.records import StageOutcome
from sft_core.runtime import RuntimeConfig

INLINE_SHARDS = 4
"""Up to so many shards (about 16,000 rows, a second or two of work) are not worth starting processes for."""


@dataclass(frozen=True, slots=True)
class Work:
    """What fills the folder of one shard's artifact: `verb(*arguments, folder)`."""

    verb: Callable[..., StageOutcome]
    arguments: tuple[Any, ...]

    def build(self, store: ArtifactStore, plan: Plan) -> ArtifactRef:
        """Make the artifact unless it exists."""
        return store.build(plan, lambda folder: self.verb(*self.arguments, folder))


class ShardWorkers(Placement):
    """Builds the artifacts of many shards; processes start when there is first enough to do for them."""

    def __init__(self, num_workers: int) -> None:
        self._num_workers = num_workers
        self._pool: ProcessPoolExecutor | None = None

    def threads_a_shard(self, num_shards: int) -> int:
        """How many threads the work on each of some shards may use: all, where no process works beside this one."""
        return self._num_workers if num_shards <= INLINE_SHARDS else 1

    def build(self, store: ArtifactStore, works: Sequence[tuple[Plan, Work]], on_done: Callable[[], Any]) -> None:
        """Build them all.

        Args:
            store: Where they are to exist.
            works: Each artifact's plan, and what fills it.
            on_done: Called after each.

        Raises:
            StageFailedError: if a worker died; what was finished is kept.
            Exception: the first error of any shard, as it was raised; shards that had not begun are left.
        """
        if self._num_workers == 1 or len(works) <= INLINE_SHARDS:
            for plan, work in works:
                work.build(store, plan)
                on_done()
            return
        pool = self._started_pool()
        futures = [pool.submit(work.build, store, plan) for plan, work in works]
        try:
            for future in as_completed(futures):
                _result(future)
                on_done()
        except BaseException as error:
            for future in futures:
                future.cancel()
            if isinstance(error, StageTimeoutError) or not isinstance(error, Exception):
                self._kill()  # who is ended does not wait for the shards at work
            raise

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _kill(self) -> None:
        """End the processes at once; what they were at is made again by whoever comes next."""
        assert self._pool is not None
        for process in self._pool._processes.values():
            process.kill()
        self.close()

    def _started_pool(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")  # a fork would inherit locks that Prefect's threads hold
            self._pool = ProcessPoolExecutor(self._num_workers, context, initializer=_end_with_parent)
        return self._pool


def _result(future: "Future[ArtifactRef]") -> ArtifactRef:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise StageFailedError(
            "a worker process ended without a word, as it does when memory runs out; what was finished is kept: run "
            "again, with fewer runtime.num_workers or a smaller sources.*.shard_rows"
        ) from error


def _end_with_parent() -> None:
    """In a worker: end when the parent does, whatever ended it."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def shard_workers(runtime: RuntimeConfig) -> Iterator[ShardWorkers]:
    """Workers for the length of a block, as many as the recipe's runtime says, by default one per core."""
    workers = ShardWorkers(runtime.num_workers or os.cpu_count() or 1)
    try:
        yield workers
    finally:
        workers.close()
