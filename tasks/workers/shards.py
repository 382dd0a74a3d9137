"""Entry point of the workers: makes the artifacts of many shards with the task runner that the recipe names.

The default is `processes`, not `threads`. One thread for each shard is slower: each short call of the encoder releases
the interpreter's lock, and then waits up to 5 ms until a thread that runs Python code releases it again. Several
threads that only encode rows of one shard do not have to wait; a few shards without workers are encoded in this way.
"""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sft_core.errors import RecipeError
from sft_core.processes.runtime import RuntimeConfig
from sft_core.store.artifact import ArtifactStore, Plan
from sft_core.store.fingerprint import Placement
from tasks.workers.inline import Inline
from tasks.workers.pools import Pool
from tasks.workers.work import Runner, Work

PLACEMENT = "It decides where work is done."

INLINE_SHARDS = 4
"""Number of shards up to which no processes are started: about 16,000 rows, a second or two of work."""


class ShardWorkers(Placement):
    """Makes the artifacts of many shards; workers are started when there is enough work for them."""

    def __init__(self, num_workers: int, task_runner: str = "processes", address: str | None = None) -> None:
        self._num_workers = num_workers
        self._task_runner = task_runner
        self._address = address
        self._runner: Runner | None = None

    def threads_a_shard(self, num_shards: int) -> int:
        """Return the number of threads for the work on each shard: all cores if shards are made one after the other."""
        return self._num_workers if self._is_inline(num_shards) else 1

    def build(self, store: ArtifactStore, works: Sequence[tuple[Plan, Work]], on_done: Callable[[], Any]) -> None:
        """Make all artifacts.

        Args:
            store: The store of the artifacts.
            works: The plan of each artifact, and the work that fills it.
            on_done: Called after each artifact.

        Raises:
            StageFailedError: if a worker died; finished shards are kept.
            RecipeError: if a cluster cannot be reached, or its workers cannot do this work.
            Exception: the first error of any shard, as it was raised; shards that had not begun are not made.
        """
        if not works:
            return
        runner = Inline() if self._is_inline(len(works)) else self._started(store.root)
        units = [functools.partial(work.build, store, plan) for plan, work in works]
        with closing(runner.run(units)) as done:
            for _ in done:
                on_done()

    def close(self) -> None:
        """Shut the workers down, or close the connection to them."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    def _is_inline(self, num_shards: int) -> bool:
        """Return True if the work is faster without workers. A cluster that the recipe names always does the work."""
        if self._task_runner in ("dask", "ray"):
            return False
        return self._num_workers == 1 or (self._task_runner == "processes" and num_shards <= INLINE_SHARDS)

    def _started(self, home: Path) -> Runner:
        if self._runner is None:
            self._runner = _start(self._task_runner, self._num_workers, self._address, home)
        return self._runner


def _start(task_runner: str, num_workers: int, address: str | None, home: Path) -> Runner:
    if task_runner == "threads":
        return Pool.of_threads(num_workers)
    if task_runner == "processes":
        return Pool.of_processes(num_workers)
    try:
        return _cluster(task_runner)(num_workers, address, home)
    except ImportError as error:
        raise RecipeError(
            f"runtime.task_runner: {task_runner} needs a package that is missing ({error}); pip install "
            f"'sft[{task_runner}]'"
        ) from error


def _cluster(task_runner: str) -> Callable[[int, str | None, Path], Runner]:
    if task_runner == "dask":
        from tasks.workers.on_dask import OnDask

        return OnDask
    from tasks.workers.on_ray import OnRay

    return OnRay


@contextmanager
def shard_workers(runtime: RuntimeConfig) -> Iterator[ShardWorkers]:
    """Provide the workers of the recipe's `runtime` section while a block runs; by default one for each core."""
    num_workers = runtime.num_workers or os.cpu_count() or 1
    workers = ShardWorkers(num_workers, runtime.task_runner, runtime.task_runner_address)
    try:
        yield workers
    finally:
        workers.close()
