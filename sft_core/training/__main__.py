"""The trainer as a process of its own, or several: `python -m sft_core.training plan.json`."""

from sft_core.subprocesses import run_child
from sft_core.training.run import main

if __name__ == "__main__":
    run_child(main)
