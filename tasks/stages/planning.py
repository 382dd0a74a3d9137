"""Planning of stages without running them: which would be reused, which would run, and why.

    with looking() as found:
        prepare(recipe)     # a stage whose artifacts exist returns them; the first one with missing artifacts raises

Nothing is written inside the block. The stages after one that has to run cannot be planned: they depend on what that
stage will write, and are reused if it writes the same as before.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

PLACEMENT = "It plans stages, and runs none."
State = Literal["reused", "run", "depends"]


@dataclass(frozen=True, slots=True)
class StagePlan:
    """Plan of one stage: whether it would be reused or run."""

    stage: str
    state: State
    num_shards: int = 1
    """Number of the stage's shards; 1 for a stage with a single artifact."""
    num_missing: int = 0
    """Number of shards that would be made."""
    changes: list[str] = field(default_factory=list)
    """Fields of the key that differ from the newest artifact of this stage, and names of changed functions."""
    is_first: bool = False
    """True if there is no earlier artifact of the stage to compare with."""
    seconds: float | None = None
    """Estimated seconds for the missing shards, from the times of earlier artifacts; None without earlier artifacts."""
    accepted: str | None = None
    """The proof by which the result of earlier code is reused."""
    waits_for: str | None = None
    """The stage on whose output it depends; set only with the state `depends`."""

    def as_json(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return asdict(self)


class NotMadeError(Exception):
    """Planning reached a stage whose artifacts do not all exist."""


_FOUND: ContextVar[list[StagePlan] | None] = ContextVar("found", default=None)


@contextlib.contextmanager
def looking() -> Iterator[list[StagePlan]]:
    """Let stages only be planned in a block; the list gets one entry for each stage that was reached."""
    found: list[StagePlan] = []
    token = _FOUND.set(found)
    try:
        with contextlib.suppress(NotMadeError):
            yield found
    finally:
        _FOUND.reset(token)


def is_looking() -> bool:
    """Return True inside a block of `looking`."""
    return _FOUND.get() is not None


def note(plan: StagePlan, is_read_by_none: bool = False) -> None:
    """Add the plan of a stage to the list of the present `looking` block.

    Args:
        plan: The plan of the stage.
        is_read_by_none: True if no other stage reads what this one writes, so that planning can continue after it.

    Raises:
        NotMadeError: if the stage would have to run, and other stages read what it writes.
    """
    found = _FOUND.get()
    assert found is not None
    found.append(plan)
    if plan.state != "reused" and not is_read_by_none:
        raise NotMadeError(plan.stage)
