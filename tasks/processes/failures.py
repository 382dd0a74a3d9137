"""Why a subprocess failed: its own last words, not its launcher's."""

import re
import signal
from pathlib import Path

from sft_core.errors import RecipeError, StageFailedError, StageInterruptedError
from sft_core.processes.subprocesses import FAILURE_FILE, INTERRUPTED_FILE, MISTAKE_FILE

PLACEMENT = "It says how a process failed."

TAIL_LINES = 15
LAUNCHER = re.compile(r'failed \(exitcode: |(accelerate/commands/launch|torch/distributed/run)\.py", line')
"""How the words of launchers begin."""
ENDING_OTHERS = re.compile(r"torch/distributed/elastic/.*closing signal")
"""What a launcher says in between, as it ends the other processes because one has failed."""
TRACEBACK = "Traceback (most recent call last):"
VERDICT = re.compile(r"failed \(exitcode: -\d+\)|died with <Signals\.")
"""How launchers say that a signal ended their child: it left no last words."""


def raise_ending(room: str, code: int, folder: Path, log: Path, start: int) -> None:
    """Raise what ended a subprocess.

    Args:
        room: What ran.
        code: How it, or its launcher, ended: an exit code, or a signal's number below zero.
        folder: Of the plan, where the process leaves word.
        log: What it and its launcher printed.
        start: Bytes of the log that were there before.

    Raises:
        RecipeError: with the room's own words, if it found a mistake of the user's.
        StageInterruptedError: if it was asked to end.
        StageFailedError: if it failed otherwise; the message ends with the cause and names the log.
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
        "\n".join([f"{room} {_how(code)}; the whole log is {log}; its last words:", *lines[-TAIL_LINES:]])
    ).with_log(log)


def _how(code: int) -> str:
    """Where no launcher stands between, a signal that ended the process is known by its number."""
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def last_words(lines: list[str]) -> list[str]:
    """Leave out what the launcher printed behind its child's last line, but for what it knows of a signal."""
    end = next((number for number, line in enumerate(lines) if LAUNCHER.search(line)), len(lines))
    verdicts = [line for line in lines[end:] if VERDICT.search(line)][:1]
    while end and (
        not lines[end - 1].strip() or lines[end - 1].startswith(TRACEBACK) or "<frozen runpy>" in lines[end - 1]
    ):
        end -= 1
    return [*(line for line in lines[:end] if not ENDING_OTHERS.search(line)), *verdicts]
