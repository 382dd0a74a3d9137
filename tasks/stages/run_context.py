"""The surroundings of a stage's work: its store, its workers, its processes and its MLflow run."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from sft_core.processes.launch import Launch
from sft_core.store.artifact import ArtifactStore
from sft_core.store.fingerprint import Placement
from tasks.workers import ShardWorkers

if TYPE_CHECKING:
    from tasks.tracking import TrackedRun  # imports MLflow, which takes seconds

PLACEMENT = "It holds what decides where work is done."


@dataclass(frozen=True)
class RunContext(Placement):
    """The store of a run's results, and what does its work. It is the last input of every stage, and part of no key."""

    store: ArtifactStore
    workers: ShardWorkers = field(default_factory=lambda: ShardWorkers(1))
    """Worker processes that share the shards of the data stages; by default this process does all the work."""
    processes: Launch = field(default_factory=Launch)
    """Processes that train, evaluate, or verify a stored model."""
    run: "TrackedRun | None" = None
    """The MLflow run that training and registration report to."""

    def alone(self) -> Self:
        """Return the same context with one process, for work that processes do not share."""
        return replace(self, processes=self.processes.alone())

    @property
    def tracked(self) -> "TrackedRun":
        """The MLflow run, for the stages that need one."""
        assert self.run is not None, "training and registration are called inside of an MLflow run"
        return self.run
