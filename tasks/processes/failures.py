"""The cause of a subprocess's failure, from the child's own last lines of output and not from its launcher's."""

import re
import signal
from pathlib import Path

from sft_core.errors import RecipeError, StageFailedError, StageInterruptedError
from sft_core.processes.subprocesses import FAILURE_FILE, INTERRUPTED_FILE, MISTAKE_FILE

PLACEMENT = "It reports how a process failed."

TAIL_LINES = 15
LAUNCHER = re.compile(r'failed \(exitcode: |(accelerate/commands/launch|torch/distributed/run)\.py", line')
"""Matches the first line that a launcher prints about a failed child."""
ENDING_OTHERS = re.compile(r"torch/distributed/elastic/.*closing signal")
"""Matches lines that a launcher prints while it ends the other processes because one has failed."""
TRACEBACK = "Traceback (most recent call last):"
VERDICT = re.compile(r"failed \(exitcode: -\d+\)|died with <Signals\.")
"""Matches the line of a launcher whose child was ended by a signal, and so could print nothing about it."""


def raise_ending(room: str, code: int, folder: Path, log: Path, start: int) -> None:
    """Raise the error that describes how a subprocess ended.

    Args:
        room: Name of the package that ran, for example `training`.
        code: Exit code of the process or of its launcher; if a signal ended it, the negative number of the signal.
        folder: Folder of the plan, where the process writes a file about its failure.
        log: Output of the process and of its launcher.
        start: Size of the log in bytes before the process started.

    Raises:
        RecipeError: with the process's own message, if the recipe or its inputs are wrong.
        StageInterruptedError: if it was asked to end.
        StageFailedError: if it failed for another reason; the message names the log and ends with the cause.
    """
    if (folder / MISTAKE_FILE).exists():
        raise RecipeError((folder / MISTAKE_FILE).read_text(encoding="utf-8")).with_log(log)
    if (folder / INTERRUPTED_FILE).exists():
        raise StageInterruptedError((folder / INTERRUPTED_FILE).read_text(encoding="utf-8")).with_log(log)
    if (folder / FAILURE_FILE).exists():
        lines = (folder / FAILURE_FILE).read_text(encoding="utf-8").splitlines()
    else:
        lines = last_words(log.read_bytes()[start:].decode(errors="replace").splitlines())
    raise StageFailedError(
        "\n".join([f"{room} {_how(code)}; the whole log is {log}; its last lines:", *lines[-TAIL_LINES:]])
    ).with_log(log)


def _how(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def last_words(lines: list[str]) -> list[str]:
    """Remove the launcher's own lines after the child's last line, except for one that names a signal."""
    end = next((number for number, line in enumerate(lines) if LAUNCHER.search(line)), len(lines))
    verdicts = [line for line in lines[end:] if VERDICT.search(line)][:1]
    while end and (
        not lines[end - 1].strip() or lines[end - 1].startswith(TRACEBACK) or "<frozen runpy>" in lines[end - 1]
    ):
        end -= 1
    return [*(line for line in lines[:end] if not ENDING_OTHERS.search(line)), *verdicts]
