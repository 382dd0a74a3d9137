"""What can go wrong, sorted by who can mend it.

A `UserError` is a mistake in a recipe or in data: its message says what was expected, what was found, where, and what
to change, in a line or two; the command line shows just that and ends with exit code 2. Everything else is ours: exit
code 1. Work that was asked to end is neither, and so is a server that stays away: exit code 75, and the same command
goes on.
"""

from pathlib import Path
from typing import Self

PLACEMENT = "Errors are for people; whoever raises them counts."


class _WithLog:
    """An error that a process of ours may have ended with."""

    log_file: Path | None = None
    """What that process printed."""

    def with_log(self, log_file: Path) -> Self:
        """Say where that is."""
        self.log_file = log_file
        return self


class UserError(_WithLog, ValueError):
    """Somebody outside this code base can mend it: the message tells them how."""


class RecipeError(UserError):
    """The recipe asks for something that does not exist or does not fit together."""


class DataError(UserError):
    """A source cannot be read, or holds nothing to train on."""


class GateError(UserError):
    """The data is readable but crosses a limit that the recipe sets."""


class StageFailedError(_WithLog, RuntimeError):
    """A subprocess of ours ended without doing its work; the message names its log file."""


class StageInterruptedError(_WithLog, RuntimeError):
    """A subprocess of ours was asked to end, and did, leaving all that the same command needs to go on."""


class StageTimeoutError(StageInterruptedError):
    """A stage took longer than the recipe lets it, and was ended where the same command can go on."""


class TrackerAwayError(RuntimeError):
    """MLflow does not answer; what was made is kept, and the same command brings it there."""

    @classmethod
    def at(cls, address: str, cause: BaseException) -> Self:
        """Say where it was looked for, and what happened."""
        return cls(
            f"MLflow at {address} does not answer ({_first_line(cause)}). Nothing is lost: data, model and scores are "
            "kept, and the same command, once MLflow is back, reuses them and brings all that is missing there"
        )


def log_of(error: BaseException) -> Path | None:
    """The log file of the process that an error came from; None if it came from none."""
    return error.log_file if isinstance(error, _WithLog) else None


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
