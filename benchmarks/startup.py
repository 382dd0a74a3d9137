"""What commands and the start of a training cost: time with CPython's garbage collector, and with ours.

    PYTHONPATH=. python benchmarks/startup.py

A model is made from nothing in one step, in a home of its own. Then in turn, each in fresh processes: looking it up,
checking its recipe, running it again, which reuses all (with the Prefect server that the command starts for itself),
and its training of one step. "As CPython has it" runs the same code with `sft_core.garbage` doing nothing. CPU seconds
of the process and its children, medians; wall time follows them, for nothing waits.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).parents[1]
RECIPE = PROJECT / "recipes" / "quickstart.yaml"
ONE_STEP = ["training.max_steps=1", "training.eval_strategy=no", "evaluation.num_prompts=0"]
AS_IT_IS = "import sft_core.garbage as ours; ours.collect_rarely = lambda: None; ours.uncollected = lambda load: load()"
COMMAND = "import sys; from sft_cli.main import main; main()"
TRAINING = "import runpy; runpy.run_module('sft_core.training', run_name='__main__', alter_sys=True)"


def main() -> None:
    """Print a line a command."""
    parser = argparse.ArgumentParser(description="Processor time of commands and of the start of a training.")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        sets = [word for override in ONE_STEP for word in ("--set", override)]
        run = ["run", str(RECIPE), "--json", *sets]
        seconds(COMMAND, run, home)
        commands = {
            "`sft find runs`": (COMMAND, ["find", "runs", str(RECIPE), "--json"]),
            "`sft check`": (COMMAND, ["check", str(RECIPE), "--json", *sets]),
            "`sft run` again": (COMMAND, run),
            "a training of one step": (TRAINING, [str(_plan(home))]),
        }
        print("|  | as CPython has it, CPU s | ours, CPU s |")
        print("| --- | ---: | ---: |")
        for name, (program, words) in commands.items():
            pairs = [
                (seconds(f"{AS_IT_IS}; {program}", words, home), seconds(program, words, home)) for _ in range(rounds)
            ]
            theirs, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
            print(f"| {name} | {theirs:.1f} | {ours:.1f} |", flush=True)


def seconds(program: str, words: list[str], home: Path) -> float:
    """CPU seconds of a fresh process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "SFT_HOME": str(home), "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program, *words], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _plan(home: Path) -> Path:
    """The plan of the training that was done, to be done again elsewhere."""
    (done,) = (home / "artifacts" / "train_model").glob("*/plan.json")
    folder = home / "again"
    folder.mkdir()
    plan = {**json.loads(done.read_bytes()), "output_folder": str(folder)}
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    return folder / "plan.json"


if __name__ == "__main__":
    main()
