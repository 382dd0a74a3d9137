"""Entry point of each training process: `python -m sft_core.training plan.json`."""

from collections.abc import Callable
from pathlib import Path

from sft_core.processes.subprocesses import run_child


def load() -> Callable[[Path], None]:
    """Import the trainer and return its main function."""
    from sft_core.training.run import main

    return main


if __name__ == "__main__":
    run_child(load)
