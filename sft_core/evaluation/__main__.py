"""The evaluator as a process of its own: `python -m sft_core.evaluation plan.json`."""

from sft_core.evaluation.run import main
from sft_core.subprocesses import run_child

if __name__ == "__main__":
    run_child(main)
