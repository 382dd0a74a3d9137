"""Entry point of the evaluation process: `python -m sft_core.evaluation plan.json`."""

from sft_core.processes.subprocesses import run_child

if __name__ == "__main__":
    run_child("sft_core.evaluation.run")
