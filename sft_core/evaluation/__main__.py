"""Entry point of the evaluation process: `python -m sft_core.evaluation plan.json`."""

from collections.abc import Callable
from pathlib import Path

from sft_core.processes.subprocesses import run_child


def load() -> Callable[[Path], None]:
    """Import the function that does the work, and return it."""
    from sft_core.evaluation.run import main

    return main


if __name__ == "__main__":
    run_child(load)
