"""Entry point of each training process: `python -m sft_core.training plan.json`."""

from sft_core.processes.subprocesses import run_child

if __name__ == "__main__":
    run_child("sft_core.training.run")
