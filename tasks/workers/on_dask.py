"""The workers of a Dask cluster, or of one that lives as long as the run.

Dask gives a shard whose worker died to another one, up to three times; an artifact that was made already is found there
and not made again.
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
"""So long the cluster may be without any worker before that is taken for its end."""
LOOK_SECONDS = 5
NOT_LOADED = "deserialization of the task graph"
"""What Dask says where its scheduler does not find a module; it has to know what it hands on."""


class OnDask:
    """A `Runner` on Dask, connected when it is made."""

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
        """As `Runner.run` says."""
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
                f"Dask's scheduler at {self._client.scheduler.addr} went away; what was finished is kept: run again"
            ) from error
        finally:
            self._client.cancel(list(pending))

    def close(self) -> None:
        """Leave the cluster; end it if it is this run's own."""
        self._opened.close()

    def _finished(self, pending: "set[distributed.Future]") -> "set[distributed.Future]":
        """Wait for the next ones; a cluster whose workers are all gone is not waited for without end."""
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
                f"the Dask scheduler at {self._client.scheduler.addr} has had no worker for {WORKER_SECONDS} s; what "
                "was finished is kept: start workers (`dask worker ADDRESS`), and run again"
            ) from error


def _client(num_workers: int, address: str | None, opened: ExitStack) -> "distributed.Client":
    if address is None:
        # one thread each, as with processes; their memory is the machine's
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
