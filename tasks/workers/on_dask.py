"""Runner on the workers of a Dask cluster: an existing one, or a local one that lives as long as the run.

If a worker dies, Dask gives its shard to another worker, up to three times. That worker reuses an artifact that was
already made.
"""

from collections.abc import Generator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from pathlib import Path

import distributed

from sft_core.errors import RecipeError, StageFailedError
from tasks.workers.proof import not_importable, proof_of
from tasks.workers.work import Unit, died

PLACEMENT = "It decides where work is done."

CONNECT_SECONDS = 30
WORKER_SECONDS = 120
"""Time that the cluster may be without any worker before the stage fails."""
LOOK_SECONDS = 5
NOT_LOADED = "deserialization of the task graph"
"""Part of Dask's error message if the scheduler cannot import a module; it deserializes the tasks that it passes on."""


class OnDask:
    """`Runner` on a Dask cluster, to which it connects when it is created."""

    def __init__(self, num_workers: int, address: str | None, home: Path) -> None:
        with ExitStack() as opened:
            self._client = opened.enter_context(_client(num_workers, address, opened))
            self._proof = opened.enter_context(proof_of(home))
            self._wait_for_workers()
            try:
                self._client.run(self._proof.check)
            except ImportError as error:
                raise not_importable(error) from error
            self._opened = opened.pop_all()

    def run(self, units: Sequence[Unit]) -> Generator[None]:
        """Execute units of work as `Runner.run` describes."""
        pending = {self._client.submit(self._proof.guard(unit), pure=False) for unit in units}
        try:
            while pending:
                for future in self._finished(pending):
                    future.result()
                    pending.discard(future)
                    yield
        except distributed.KilledWorker as error:
            raise died("a worker of Dask", "with a smaller sources.*.shard_rows or workers with more memory") from error
        except (ImportError, RuntimeError) as error:
            if not isinstance(error, ImportError) and NOT_LOADED not in str(error):
                raise
            raise not_importable(error) from error
        except (CancelledError, distributed.comm.CommClosedError) as error:
            raise StageFailedError(
                f"Dask's scheduler at {self._client.scheduler.addr} is gone; finished shards are kept: run again"
            ) from error
        finally:
            self._client.cancel(list(pending))

    def close(self) -> None:
        """Disconnect from the cluster, and shut it down if it was started for this run."""
        self._opened.close()

    def _finished(self, pending: "set[distributed.Future]") -> "set[distributed.Future]":
        """Wait until units have finished, and return them.

        Raises:
            StageFailedError: if the cluster has had no worker for `WORKER_SECONDS`.
        """
        while True:
            try:
                return set(distributed.wait(pending, timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED").done)
            except TimeoutError:
                if not self._client.scheduler_info(n_workers=-1)["workers"]:
                    self._wait_for_workers()

    def _wait_for_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError as error:
            raise StageFailedError(
                f"the Dask scheduler at {self._client.scheduler.addr} has had no worker for {WORKER_SECONDS} s; "
                "finished shards are kept: start workers (`dask worker ADDRESS`), and run again"
            ) from error


def _client(num_workers: int, address: str | None, opened: ExitStack) -> "distributed.Client":
    if address is None:
        # one thread each, as in a process pool; no memory limit but that of the machine
        cluster = distributed.LocalCluster(
            n_workers=num_workers, threads_per_worker=1, memory_limit=0, dashboard_address=None
        )
        return distributed.Client(opened.enter_context(cluster))
    try:
        return distributed.Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"runtime.task_runner_address: expected a Dask scheduler at {address}, for example tcp://10.0.0.1:8786; "
            f"found: {error}"
        ) from error
