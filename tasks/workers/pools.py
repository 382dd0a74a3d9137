"""Runners on the two pools of the standard library: threads of this process, or other processes on this machine."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from sft_core.errors import StageTimeoutError
from tasks.workers.work import Unit, died

PLACEMENT = "It decides where work is done."


class Pool:
    """`Runner` on a pool, which starts with the first unit."""

    def __init__(self, start: Callable[[], Executor]) -> None:
        self._start = start
        self._pool: Executor | None = None

    @classmethod
    def of_threads(cls, num_workers: int) -> "Pool":
        """Return a runner on `num_workers` threads of this process."""
        return cls(lambda: ThreadPoolExecutor(num_workers, "shard-worker"))

    @classmethod
    def of_processes(cls, num_workers: int) -> "Pool":
        """Return a runner on `num_workers` processes, which end when this process ends."""
        context = multiprocessing.get_context("spawn")  # a fork would inherit locks that Prefect's threads hold
        return cls(lambda: ProcessPoolExecutor(num_workers, context, initializer=_end_with_parent))

    def run(self, units: Sequence[Unit]) -> Generator[None]:
        """Execute units of work as `Runner.run` describes."""
        pool = self._pool = self._pool or self._start()
        futures = [pool.submit(unit) for unit in units]
        try:
            for future in as_completed(futures):
                future.result()
                yield
        except BrokenProcessPool as error:
            raise died(
                "a worker process", "with fewer runtime.num_workers or a smaller sources.*.shard_rows"
            ) from error
        except BaseException as error:
            if isinstance(error, StageTimeoutError) or not isinstance(error, Exception):
                self._kill()  # a run that is ended does not wait for unfinished shards
            raise
        finally:
            for future in futures:
                future.cancel()

    def _kill(self) -> None:
        """Kill worker processes at once; the next run makes their unfinished shards. Threads cannot be killed."""
        if isinstance(self._pool, ProcessPoolExecutor):
            for process in self._pool._processes.values():
                process.kill()

    def close(self) -> None:
        """Shut the pool down, after each worker has finished its present unit."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _end_with_parent() -> None:
    """Make a worker process end when its parent ends, for whatever reason."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
