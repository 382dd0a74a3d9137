"""Exceptions, sorted by who can fix the cause.

A `UserError` is a mistake in a recipe or in data: its message says what was expected, what was found, where, and what
to change, in a line or two. The command line shows only that message and ends with exit code 2. Every other error is a
fault of this code base and ends with exit code 1. Work that was asked to end, and a server that does not come back, are
neither: they end with exit code 75, and the same command resumes the work.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Self

PLACEMENT = "Errors are for people; the code that raises them counts."


class _WithLog:
    """Base of the errors that a subprocess of the pipeline may have ended with."""

    log_file: Path | None = None
    """Log file with the output of that subprocess; None if no subprocess was involved."""

    def with_log(self, log_file: Path) -> Self:
        """Set the log file of the subprocess and return this error."""
        self.log_file = log_file
        return self


class UserError(_WithLog, ValueError):
    """A mistake that somebody outside this code base can fix; the message explains how."""


class RecipeError(UserError):
    """The recipe asks for something that does not exist or does not fit together."""


class DataError(UserError):
    """A source cannot be read, or holds nothing to train on."""


class GateError(UserError):
    """The data is readable but crosses a limit that the recipe sets."""


class StageFailedError(_WithLog, RuntimeError):
    """A subprocess of the pipeline ended without doing its work; the message names its log file."""


class StageInterruptedError(_WithLog, RuntimeError):
    """A subprocess was asked to end and did; it left everything that the same command needs to resume."""


class StageTimeoutError(StageInterruptedError):
    """A stage took longer than its limit in the recipe, and was ended at a point where the same command resumes."""


class TrackerAwayError(RuntimeError):
    """MLflow does not answer. Finished results are kept, and the same command records them in MLflow later."""

    @classmethod
    def at(cls, address: str, cause: BaseException) -> Self:
        """Make the error for an MLflow address and the exception that the request to it raised."""
        return cls(
            f"MLflow at {address} does not answer ({_first_line(cause)}). Nothing is lost: data, model and scores are "
            "kept; once MLflow is back, the same command reuses them and records what is missing there"
        )


def did_you_mean(wrong: object, known: Iterable[str], otherwise: str | None = None) -> str:
    """Return the end of a message about an unknown name: `; did you mean 'learning_rate'?`.

    Args:
        wrong: The unknown name.
        known: All valid names. Upper and lower case are the same here.
        otherwise: What to return if no valid name is similar; by default `; known: …` with all of them.
    """
    names = {name.lower(): name for name in known}
    for similar in get_close_matches(str(wrong).lower(), names, n=1, cutoff=0.5):
        return f"; did you mean '{names[similar]}'?"
    return f"; known: {', '.join(names.values())}" if otherwise is None else otherwise


def log_of(error: BaseException) -> Path | None:
    """Return the log file of the subprocess that an error came from; None if no subprocess was involved."""
    return error.log_file if isinstance(error, _WithLog) else None


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
