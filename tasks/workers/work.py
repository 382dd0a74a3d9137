"""What is done for one artifact, and what it is given to."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sft_core.errors import StageFailedError
from sft_core.store.artifact import ArtifactRef, ArtifactStore, Plan
from sft_core.store.records import StageOutcome

PLACEMENT = "It calls what the stages name."

Unit = Callable[[], Any]
"""One shard's work with all that it needs, as it is sent to a worker: nothing is asked back but that it ended."""


@dataclass(frozen=True, slots=True)
class Work:
    """What fills the folder of an artifact: `verb(*arguments, folder)`, or `verb(*arguments, work, folder)`."""

    verb: Callable[..., StageOutcome]
    arguments: tuple[Any, ...]
    resumes: bool = False
    """The verb also takes a `work` folder, which outlives failures and is removed once the artifact exists."""
    replay: Callable[[Path, Path], dict[str, Any]] | None = None
    """Takes the folder of an earlier artifact and an empty one, and proves that the work would give the same again
    without doing all of it; None: only doing it can tell."""

    def fill(self, store: ArtifactStore, plan: Plan, folder: Path) -> StageOutcome:
        """Do it."""
        work = (store.work_path(plan.ref),) if self.resumes else ()
        return self.verb(*self.arguments, *work, folder)

    def build(self, store: ArtifactStore, plan: Plan) -> ArtifactRef:
        """Make the artifact unless it exists."""
        return store.build(plan, lambda folder: self.fill(store, plan, folder))


class Runner(Protocol):
    """Does units of work somewhere; starts what it needs for that when it is first given some."""

    def run(self, units: Sequence[Unit]) -> Generator[None]:
        """Do them all, and yield after each. A generator that is closed early takes back what had not begun.

        Raises:
            StageFailedError: if a worker died; what was finished is kept.
            Exception: the first error of any unit, as it was raised.
        """
        ...

    def close(self) -> None:
        """End what was started."""
        ...


def died(who: str, then: str) -> StageFailedError:
    """Say that a worker ended without a word.

    Args:
        who: Which, in words.
        then: What to change.
    """
    return StageFailedError(
        f"{who} ended without a word, as it does when memory runs out; what was finished is kept: run again, {then}"
    )
