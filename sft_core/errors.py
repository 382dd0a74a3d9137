"""What can go wrong, sorted by who can mend it.

A `UserError` is a mistake in a recipe or in data: its message says what was expected, what was found, where, and what
to change, in a line or two; the command line shows just that and ends with exit code 2. Everything else is ours: exit
code 1. Work that was asked to end is neither: exit code 75, and the same command goes on with it.
"""


class UserError(ValueError):
    """Somebody outside this code base can mend it: the message tells them how."""


class RecipeError(UserError):
    """The recipe asks for something that does not exist or does not fit together."""


class DataError(UserError):
    """A source cannot be read, or holds nothing to train on."""


class GateError(UserError):
    """The data is readable but crosses a limit that the recipe sets."""


class StageFailedError(RuntimeError):
    """A subprocess of ours ended without doing its work; the message names its log file."""


class StageInterruptedError(RuntimeError):
    """A subprocess of ours was asked to end, and did, leaving all that the same command needs to go on."""
