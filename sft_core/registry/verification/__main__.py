"""Entry point of the verification process: `python -m sft_core.registry.verification plan.json`."""

from sft_core.processes.subprocesses import run_child

if __name__ == "__main__":
    run_child("sft_core.registry.verification.run")
