"""Processor time of commands, compared with that of the imports that they cannot do without.

    PYTHONPATH=. python benchmarks/startup.py

The commands run in a new state directory, without a configured server: first `sft prepare` of 300 rows, then, in turn,
each command in a new process and its floor, a bare `python -c "import …"` of the libraries that its work needs. Both
are measured in the same minute, because the processor time of the same imports doubles on a machine that others use.
The server that the commands share (`deployments/stack/shared_server.py`) counts: its processor time while a command ran
is added to the command. All numbers are medians of user and system time of processes and their children; wall time is
not measured.

`--plain-garbage` runs the commands with Python's default garbage collection, without `sft_core.processes.garbage`.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[1]
TOKENIZER = PROJECT / "recipes" / "quickstart" / "tokenizer"
COMMAND = "import sys; from sft_cli.main import main; main()"
PLAIN_GARBAGE = (
    "import sft_core.processes.garbage as ours; ours.collect_rarely = lambda: None; ours.uncollected = lambda f: f()"
)
TERMINAL = "import typer, typer.rich_utils, rich.table, pydantic"
DATA = f"{TERMINAL}, yaml, orjson, jinja2, numpy, pyarrow.compute, tokenizers, tiktoken, pandas"
FLOW = f"{DATA}; import prefect, prefect.client.orchestration, fastapi.encoders; from prefect import flow, task"
TRACKED = "from mlflow import MlflowClient"
SERVER = "import uvicorn; from prefect.server.api.server import create_app"
LOADED = "import torch, transformers; transformers.AutoTokenizer"
CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
}


@dataclass(frozen=True)
class Case:
    """A command, its floor (imports, each entry in a process of its own), and the bound for it in CPU seconds."""

    name: str
    words: list[str]
    floor: list[str]
    bound: float


def main() -> None:
    """Print a line for each command."""
    parser = argparse.ArgumentParser(description="Processor time of commands, next to that of their imports.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plain-garbage", action="store_true")
    arguments = parser.parse_args()
    program = f"{PLAIN_GARBAGE}; {COMMAND}" if arguments.plain_garbage else COMMAND
    print("| command | bound | CPU s | of which server | floor: bare imports | beyond the floor |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        small, large = (write_recipe(Path(folder), rows) for rows in (300, 1000))
        first = Case("`sft prepare` of 300 rows, cold", ["prepare", small], [f"{FLOW}; {LOADED}", SERVER], 12)
        homes = (Path(folder) / f"cold-{number}" for number in range(arguments.rounds))
        report(first, [(*one_run(program, first, home), floor_of(first)) for home in homes])
        home = Path(folder) / "home"
        for words in (["prepare", small], ["check", large], ["run", small]):
            one_run(program, Case("", words, [], 0), home, is_kept=True)
        cases = [
            Case("`sft --help`", ["--help"], [TERMINAL], 0.5),
            Case("`sft status`", ["status"], [TERMINAL], 2),
            Case("`sft find runs`", ["find", "runs"], [f"{TERMINAL}; {TRACKED}"], 2),
            Case("`sft show`", ["show", small], [DATA], 2),
            Case("`sft plan`", ["plan", small], [DATA], 2),
            Case("`sft check` of 1,000 rows, again", ["check", large], [DATA], 4),
            Case("`sft prepare`, all cached", ["prepare", small], [FLOW], 6),
            Case("`sft run`, all cached", ["run", small], [f"{FLOW}; {TRACKED}"], 6),
        ]
        for case in cases:
            report(
                case,
                [(*one_run(program, case, home, is_kept=True), floor_of(case)) for _ in range(arguments.rounds)],
            )
        end_server(home)


def write_recipe(folder: Path, num_rows: int) -> str:
    """Write rows and a recipe of a small model; return the path of the recipe."""
    rows = (
        {
            "prompt": f"What is {n} plus {n + 1}? Say it.",
            "completion": f" {n} and {n + 1} are {2 * n + 1}.",
        }
        for n in range(num_rows)
    )
    data, recipe = folder / f"rows-{num_rows}.jsonl", folder / f"recipe-{num_rows}.yaml"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    content = {
        "name": f"rows-{num_rows}",
        "model": {"init": "config", "tokenizer": str(TOKENIZER), "config": CONFIG},
        "sources": [{"path": str(data)}],
        "formats": {"eval_fraction": 0.1},
        "tokens": {"max_length": 128},
        "training": {"max_steps": 1, "eval_strategy": "no"},
        "evaluation": {"num_prompts": 0},
    }
    recipe.write_text(json.dumps(content))  # JSON is YAML
    return str(recipe)


def one_run(program: str, case: Case, home: Path, is_kept: bool = False) -> tuple[float, float]:
    """Run a command; return its CPU seconds, the server's included, and the server's alone."""
    before = server_seconds(home)
    own = seconds(program, case.words, home)
    if not is_kept:
        time.sleep(2)  # the server still stores the last events
    server = server_seconds(home) - before
    if not is_kept:
        end_server(home)
    return own + server, server


def floor_of(case: Case) -> float:
    """Return the CPU seconds of the bare imports."""
    return sum(seconds(imports, [], PROJECT) for imports in case.floor)


def seconds(program: str, words: list[str], home: Path) -> float:
    """Run a program in a new process; return its CPU seconds and those of the children that it waits for."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "SFT_"))}
    environment = {**clean, "SFT_HOME": str(home), "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", program, *words], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def server_seconds(home: Path) -> float:
    """Return the CPU seconds, since its start, of the server that commands with one state directory share."""
    try:
        pid = json.loads((home / "prefect" / "server" / "state.json").read_bytes())["pid"]
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def end_server(home: Path) -> None:
    """End the shared server of a state directory."""
    seconds(COMMAND, ["down"], home)


def report(case: Case, measured: list[tuple[float, float, float]]) -> None:
    """Print a command's line."""
    total, server, floor = (statistics.median(column) for column in zip(*measured, strict=True))
    print(
        f"| {case.name} | {case.bound:g} | {total:.2f} | {server:.2f} | {floor:.2f} | {total - floor:.2f} |", flush=True
    )


if __name__ == "__main__":
    main()
