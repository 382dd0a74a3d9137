"""The comparison as a process of its own: `python -m sft_core.registry.verification plan.json`."""

from collections.abc import Callable
from pathlib import Path

from sft_core.processes.subprocesses import run_child


def load() -> Callable[[Path], None]:
    """Import what it does."""
    from sft_core.registry.verification.run import main

    return main


if __name__ == "__main__":
    run_child(load)
