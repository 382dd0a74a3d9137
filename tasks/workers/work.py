"""`Work`, which fills one artifact, and `Runner`, the interface of what executes it."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sft_core.errors import StageFailedError
from sft_core.store.artifact import ArtifactRef, ArtifactStore, Plan
from sft_core.store.records import StageOutcome

PLACEMENT = "It calls functions that the stages name."

Unit = Callable[[], Any]
"""Callable that does one shard's work; it is sent to a worker with all its data, and its result is ignored."""


@dataclass(frozen=True, slots=True)
class Work:
    """Call that fills the folder of an artifact: `verb(*arguments, folder)`, or `verb(*arguments, work, folder)`."""

    verb: Callable[..., StageOutcome]
    arguments: tuple[Any, ...]
    resumes: bool = False
    """True if the verb also takes a `work` folder, which outlives failures and is removed once the artifact exists."""
    replay: Callable[[Path, Path], dict[str, Any]] | None = None
    """Called with the folder of an earlier artifact and an empty folder; proves that the work would give the same
    result again, without doing all of it. With None, only doing the whole work can prove that."""

    def fill(self, store: ArtifactStore, plan: Plan, folder: Path) -> StageOutcome:
        """Do the work, and return its outcome."""
        work = (store.work_path(plan.ref),) if self.resumes else ()
        return self.verb(*self.arguments, *work, folder)

    def build(self, store: ArtifactStore, plan: Plan) -> ArtifactRef:
        """Make the artifact unless it exists."""
        return store.build(plan, lambda folder: self.fill(store, plan, folder))


class Runner(Protocol):
    """Interface of what executes units of work; it starts its workers no later than for the first units."""

    def run(self, units: Sequence[Unit]) -> Generator[None]:
        """Execute all units, and yield after each. Closing the generator early cancels the units that have not begun.

        Raises:
            StageFailedError: if a worker died; finished units are kept.
            Exception: the first error of any unit, as it was raised.
        """
        ...

    def close(self) -> None:
        """Shut down what was started."""
        ...


def died(who: str, then: str) -> StageFailedError:
    """Return the error for a worker that ended without an error message.

    Args:
        who: Description of the worker.
        then: What to change for the next run.
    """
    return StageFailedError(
        f"{who} ended without an error message, as it does when memory runs out; finished shards are kept: run again, "
        f"{then}"
    )
