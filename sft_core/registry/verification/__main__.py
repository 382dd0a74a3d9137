"""Entry point of the verification process: `python -m sft_core.registry.verification plan.json`."""

from collections.abc import Callable
from pathlib import Path

from sft_core.processes.subprocesses import run_child


def load() -> Callable[[Path], None]:
    """Import the function that the process runs."""
    from sft_core.registry.verification.run import main

    return main


if __name__ == "__main__":
    run_child(load)
