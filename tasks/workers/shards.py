"""The door to the workers: the artifacts of many shards, built wherever the recipe says.

`processes` is the default, not `threads`. A thread a shard is slower: each short call of the encoder gives up the
interpreter's lock, and waits up to 5 ms for a thread that is at work in Python to give it back. Several threads that do
nothing but encode one shard do not wait, which is what a few shards without workers get.
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
"""Up to so many shards (about 16,000 rows, a second or two of work) are not worth starting processes for."""


class ShardWorkers(Placement):
    """Builds the artifacts of many shards; workers start when there is first enough to do for them."""

    def __init__(self, num_workers: int, task_runner: str = "processes", address: str | None = None) -> None:
        self._num_workers = num_workers
        self._task_runner = task_runner
        self._address = address
        self._runner: Runner | None = None

    def threads_a_shard(self, num_shards: int) -> int:
        """How many threads the work on each of some shards may use: all, where nothing works beside this one."""
        return self._num_workers if self._is_inline(num_shards) else 1

    def build(self, store: ArtifactStore, works: Sequence[tuple[Plan, Work]], on_done: Callable[[], Any]) -> None:
        """Build them all.

        Args:
            store: Where they are to exist.
            works: Each artifact's plan, and what fills it.
            on_done: Called after each.

        Raises:
            StageFailedError: if a worker died; what was finished is kept.
            RecipeError: if a cluster cannot be reached, or its workers cannot do this work.
            Exception: the first error of any shard, as it was raised; shards that had not begun are left.
        """
        if not works:
            return
        runner = Inline() if self._is_inline(len(works)) else self._started(store.root)
        units = [functools.partial(work.build, store, plan) for plan, work in works]
        with closing(runner.run(units)) as done:
            for _ in done:
                on_done()

    def close(self) -> None:
        """End the workers, or the connection to them."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    def _is_inline(self, num_shards: int) -> bool:
        """Whether it is faster without any workers. A cluster does all there is: it was named for that."""
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
    """Workers for the length of a block, as the recipe's runtime says; by default as many as there are cores."""
    num_workers = runtime.num_workers or os.cpu_count() or 1
    workers = ShardWorkers(num_workers, runtime.task_runner, runtime.task_runner_address)
    try:
        yield workers
    finally:
        workers.close()
