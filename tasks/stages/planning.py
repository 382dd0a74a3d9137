"""Looking at stages without running them: which would be reused, which would be run, and why.

    with looking() as found:
        prepare(recipe)     # every stage that exists returns its artifacts; the first one that does not raises

Nothing is written while a block looks. What comes after a stage that has to run cannot be known: it depends on what
that stage will write, and is reused if that is what it wrote before.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

PLACEMENT = "It looks at stages, and runs none."
State = Literal["reused", "run", "depends"]


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What would become of one stage."""

    stage: str
    state: State
    num_shards: int = 1
    """Of the stage; 1 where it has one artifact."""
    num_missing: int = 0
    """Those that would be made."""
    changes: list[str] = field(default_factory=list)
    """Fields of the key that differ from the newest artifact of this stage, and names of changed functions."""
    is_first: bool = False
    """There is no earlier artifact of the stage to compare with."""
    seconds: float | None = None
    """How long the missing part would take, by how long the earlier artifacts took; None if there are none."""
    accepted: str | None = None
    """The proof by which the result of earlier code is reused."""
    waits_for: str | None = None
    """The stage on whose output it depends; only with the state `depends`."""

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


class NotMadeError(Exception):
    """A stage whose artifacts do not all exist was reached while looking."""


_FOUND: ContextVar[list[StagePlan] | None] = ContextVar("found", default=None)


@contextlib.contextmanager
def looking() -> Iterator[list[StagePlan]]:
    """Let stages be looked at in a block; the list gets one entry for each that was reached."""
    found: list[StagePlan] = []
    token = _FOUND.set(found)
    try:
        with contextlib.suppress(NotMadeError):
            yield found
    finally:
        _FOUND.reset(token)


def is_looking() -> bool:
    """True inside a block of `looking`."""
    return _FOUND.get() is not None


def note(plan: StagePlan, is_read_by_none: bool = False) -> None:
    """Add what was found of a stage.

    Args:
        plan: What was found.
        is_read_by_none: No other stage reads what this one writes, so that looking can go on.

    Raises:
        NotMadeError: if the stage would have to run, and others read what it writes.
    """
    found = _FOUND.get()
    assert found is not None
    found.append(plan)
    if plan.state != "reused" and not is_read_by_none:
        raise NotMadeError(plan.stage)
