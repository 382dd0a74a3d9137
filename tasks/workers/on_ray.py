"""Runner on the workers of a Ray cluster: an existing one, or a local one that lives as long as the run.

If a worker dies, Ray gives its shard to another worker, up to three times. That worker reuses an artifact that was
already made.
"""

from collections.abc import Generator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ray

import sft_core
from sft_core.errors import RecipeError
from tasks.workers.proof import not_importable, proof_of
from tasks.workers.work import Unit, died

PLACEMENT = "It decides where work is done."

RETRIES = 3


class OnRay:
    """`Runner` on a Ray cluster, to which it connects when it is created."""

    def __init__(self, num_workers: int, address: str | None, home: Path) -> None:
        with ExitStack() as opened:
            opened.callback(ray.shutdown)
            _connect(num_workers, address)
            self._proof = opened.enter_context(proof_of(home))
            self._remote = ray.remote(num_cpus=1, max_retries=RETRIES)(_do)
            self._get(self._remote.remote(self._proof.check))
            self._opened = opened.pop_all()

    def run(self, units: Sequence[Unit]) -> Generator[None]:
        """Execute units of work as `Runner.run` describes."""
        pending = [self._remote.remote(self._proof.guard(unit)) for unit in units]
        try:
            while pending:
                finished, pending = ray.wait(pending)
                for reference in finished:
                    self._get(reference)
                    yield
        finally:
            for reference in pending:
                ray.cancel(reference, force=False)

    def close(self) -> None:
        """Disconnect from the cluster, and shut it down if it was started for this run."""
        self._opened.close()

    def _get(self, reference: Any) -> None:
        try:
            ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, ray.exceptions.RaySystemError) and "No module named" in str(cause):
                raise not_importable(cause) from error
            raise cause from error
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
            raise died("a worker of Ray", "with a smaller sources.*.shard_rows or nodes with more memory") from error


def _do(unit: Unit) -> None:
    unit()


def _connect(num_workers: int, address: str | None) -> None:
    if address is None:
        checkout = str(Path(sft_core.__file__ or "").parents[1])  # workers import the same code as this process
        ray.init(
            address="local",
            num_cpus=num_workers,
            include_dashboard=False,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": checkout}},
        )
        return
    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RecipeError(
            f"runtime.task_runner_address: expected a Ray cluster at {address}, for example 10.0.0.1:6379; found: "
            f"{error}"
        ) from error
