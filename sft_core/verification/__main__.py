"""The comparison as a process of its own: `python -m sft_core.verification plan.json`."""

from sft_core.subprocesses import run_child
from sft_core.verification.run import main

if __name__ == "__main__":
    run_child(main)
