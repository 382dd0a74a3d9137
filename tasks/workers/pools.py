"""Threads of this process, or processes beside it: the two pools of the standard library."""

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
    """A `Runner` over a pool, which starts with the first unit."""

    def __init__(self, start: Callable[[], Executor]) -> None:
        self._start = start
        self._pool: Executor | None = None

    @classmethod
    def of_threads(cls, num_workers: int) -> "Pool":
        """So many threads of this process."""
        return cls(lambda: ThreadPoolExecutor(num_workers, "shard-worker"))

    @classmethod
    def of_processes(cls, num_workers: int) -> "Pool":
        """So many processes, which end when this one does."""
        context = multiprocessing.get_context("spawn")  # a fork would inherit locks that Prefect's threads hold
        return cls(lambda: ProcessPoolExecutor(num_workers, context, initializer=_end_with_parent))

    def run(self, units: Sequence[Unit]) -> Generator[None]:
        """As `Runner.run` says."""
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
                self._kill()  # who is ended does not wait for the shards at work
            raise
        finally:
            for future in futures:
                future.cancel()

    def _kill(self) -> None:
        """End processes at once; what they were at is made again by whoever comes next. Threads cannot be ended."""
        if isinstance(self._pool, ProcessPoolExecutor):
            for process in self._pool._processes.values():
                process.kill()

    def close(self) -> None:
        """End them, once each has finished what it is at."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _end_with_parent() -> None:
    """In a worker: end when the parent does, whatever ended it."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
