"""Cost of `sft prepare` as the number of rows grows: seconds, memory of the process tree, bytes in the store.

    PYTHONPATH=. python benchmarks/scale.py --rows 10000 100000 1000000    # one line per size
    PYTHONPATH=. python benchmarks/scale.py --rows 1000000 --append 10000  # then append, and compare with a cold run
    PYTHONPATH=. python benchmarks/scale.py --rows 200000 --trl            # and TRL 1.16 on the same file
    PYTHONPATH=. python benchmarks/scale.py --rows 100000 --shard-rows 100 # 1,000 shards, and their task runs
    PYTHONPATH=. python benchmarks/scale.py --rows 100000 --files 100000   # 100,000 files of one row each
    PYTHONPATH=. python benchmarks/scale.py --rows 200000 --runner threads # by another `runtime.task_runner`

The command runs as users run it, Prefect included, against a Prefect server that this script starts on the loopback
interface. The process of this server is not counted. With `--embedded` there is no such server, and the one inside the
command is counted. Memory is the proportional set size (PSS) of the command and all its children, sampled five times a
second: pages that processes share are counted once. Time is the wall time from the start of the command, including the
start of Python and Prefect. TRL is timed in a process of its own around `load_dataset` and
`SFTTrainer._prepare_dataset`, without imports.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks.distinct_rows import write_rows

TOKENIZER = Path(__file__).parents[2] / "shared" / "data" / "tokenizer-gpt-neox"
PROJECT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Cost:
    """Time, peak memory and JSON result of one command."""

    seconds: float
    peak_mb: float
    result: dict[str, Any]


def main() -> None:
    """Print a line for each number of rows."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch, _prefect(Path(scratch), options.embedded) as url:
        print("| rows | seconds | rows/s | peak MB | source MB | store MB | store / source |")
        print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for num_rows in options.rows:
            _measure(Path(scratch) / str(num_rows), num_rows, url, options)


def _measure(folder: Path, num_rows: int, url: str | None, options: argparse.Namespace) -> None:
    folder.mkdir()
    data = folder / "rows.jsonl"
    write_rows(data, num_rows, options.turns)
    source = data.stat().st_size / 1e6
    recipe = _write_recipe(folder, _shared_out(data, options.files), options)
    cold = _prepare(recipe, folder / "home", url)
    store = _megabytes(folder / "home" / "artifacts")
    print(
        f"| {num_rows:,} | {cold.seconds:.1f} | {num_rows / cold.seconds:,.0f} | {cold.peak_mb:,.0f} | {source:,.1f} | "
        f"{store:,.1f} | {store / source:.2f} |",
        flush=True,
    )
    if options.shard_rows or options.files:
        shards, seconds = _work_before_packing(folder / "home")
        print(f"\n{shards:,} shards of all stages before packing, made in {seconds:.1f} worker seconds", flush=True)
        again = _prepare(recipe, folder / "home", url)
        print(f"again without a change: {again.seconds:.1f} s", flush=True)
        print(f"task runs on the server: {_task_runs(url)}\n" if url else "", flush=True)
    if options.append:
        _append(folder, data, recipe, num_rows, url, options)
    if options.trl:
        seconds = _trl(data, folder / "trl", options.turns)
        print(f"\nTRL {seconds:.1f} s, ours {cold.seconds:.1f} s: {seconds / cold.seconds:.2f} times as fast\n")
    shutil.rmtree(folder)


def _shared_out(data: Path, num_files: int | None) -> Path:
    """Distribute the rows evenly over `num_files` files in a folder; return the folder, or the file if None."""
    if not num_files:
        return data
    lines = data.read_bytes().splitlines(keepends=True)
    folder = data.parent / "files"
    folder.mkdir()
    for number in range(num_files):
        own = lines[number * len(lines) // num_files : (number + 1) * len(lines) // num_files]
        (folder / f"{number:06d}.jsonl").write_bytes(b"".join(own))
    return folder


def _task_runs(url: str) -> dict[str, int]:
    """Count the task runs that a Prefect server has recorded, by their state."""
    found: dict[str, int] = {}
    for state in ("COMPLETED", "FAILED", "CRASHED", "RUNNING", "PENDING"):
        content = json.dumps({"task_runs": {"state": {"type": {"any_": [state]}}}}).encode()
        request = urllib.request.Request(f"{url}/task_runs/count", content, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            found[state.lower()] = json.loads(answer.read())
    return {state: count for state, count in found.items() if count}


def _append(
    folder: Path, data: Path, recipe: Path, num_rows: int, url: str | None, options: argparse.Namespace
) -> None:
    """Append rows, prepare again, and compare with a preparation from nothing."""
    idle = _prepare(recipe, folder / "home", url)
    whole = _work_before_packing(folder / "home")
    more = folder / "more.jsonl"
    write_rows(more, options.append, options.turns, seed=1)
    with data.open("ab") as file:
        file.write(more.read_bytes())
    warm = _prepare(recipe, folder / "home", url)
    cold = _prepare(recipe, folder / "cold", url)
    print(f"\nagain without a change: {idle.seconds:.1f} s")
    print(f"{options.append:,} rows appended to {num_rows:,}: {warm.seconds:.1f} s; from nothing: {cold.seconds:.1f} s")
    after = _work_before_packing(folder / "home")
    shards, seconds = after[0] - whole[0], after[1] - whole[1]
    print(
        f"before packing, {shards} shards of all stages were made in {seconds:.1f} worker seconds; from nothing "
        f"{whole[0]} in {whole[1]:.1f}: {seconds / whole[1]:.1%} of the work for {options.append / num_rows:.1%} rows"
    )
    is_same = _contents(warm.result) == _contents(cold.result)
    print(
        "equal to the byte to a preparation from nothing\n" if is_same else "DIFFERENT from a preparation from nothing"
    )


def _work_before_packing(home: Path) -> tuple[int, float]:
    """Return the number of shards that the stages before packing made, and the worker seconds they took."""
    stages = ("ingest_sources", "detect_formats", "render_chats", "tokenize_chats")
    manifests = [path for stage in stages for path in (home / "artifacts" / stage).rglob("manifest.json")]
    return len(manifests), sum(json.loads(path.read_bytes())["seconds"] for path in manifests)


def _contents(result: dict[str, Any]) -> dict[str, bytes]:
    folder = Path(result["dataset"])
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.arrow"))}


def _prepare(recipe: Path, home: Path, url: str | None) -> Cost:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "SFT_"))},
        **({"PREFECT_API_URL": url} if url else {}),
        "SFT_HOME": str(home),
        "PYTHONPATH": str(PROJECT),
    }
    command = [sys.executable, "-m", "sft_cli.main", "prepare", str(recipe), "--json"]
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _tree_megabytes(process.pid))
        time.sleep(0.2)
    seconds = time.perf_counter() - started
    assert process.stdout is not None
    assert process.stderr is not None
    if process.returncode:
        raise SystemExit(process.stderr.read())
    return Cost(seconds, peak, json.loads(process.stdout.read()))


def _tree_megabytes(pid: int) -> float:
    total = 0
    with suppress(psutil.Error):
        for process in (root := psutil.Process(pid), *root.children(recursive=True)):
            with suppress(psutil.Error):
                total += process.memory_full_info().pss
    return total / 1e6


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _write_recipe(folder: Path, data: Path, options: argparse.Namespace) -> Path:
    turns = options.turns
    grain = {"shard_rows": options.shard_rows} if options.shard_rows else {}
    columns = {} if turns else {"columns": {"prompt": "question", "completion": "answer"}}
    chat = {"chat": {"chat_template_path": "chatml", "assistant_only_loss": True}} if turns else {}
    recipe = {
        "name": "scale",
        "model": {"init": "config", "config": {"model_type": "llama"}, "tokenizer": str(TOKENIZER)},
        "sources": [{"path": str(data), **columns, **grain}],
        "packing": {"packing": True},
        "runtime": {"task_runner": options.runner},
        **chat,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def _trl(data: Path, folder: Path, turns: int | None) -> float:
    """Time TRL in a process of its own, so that nothing of ours is in its memory or its caches; return the seconds."""
    command = [sys.executable, "-m", "benchmarks.trl_prepare", str(data), str(folder), *(["--chats"] if turns else [])]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


@contextmanager
def _prefect(scratch: Path, is_embedded: bool) -> Iterator[str | None]:
    """Run a Prefect server on the loopback interface, and yield the address of its API; yield None if embedded."""
    if is_embedded:
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PREFECT_HOME": str(scratch / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (scratch / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{port}/api/health")
        yield f"http://127.0.0.1:{port}/api"
    finally:
        server.terminate()
        server.wait(60)


def _wait(url: str) -> None:
    for _ in range(240):
        with suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.5)
    raise TimeoutError(url)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time `sft prepare` as the number of rows grows.")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--turns", type=int, help="make chats of TURNS problems each")
    parser.add_argument("--shard-rows", type=int, help="rows per shard; by default the recipe's")
    parser.add_argument("--files", type=int, help="distribute the rows over FILES files")
    parser.add_argument("--runner", default="processes", help="threads, processes, dask or ray")
    parser.add_argument("--append", type=int, help="append APPEND rows, and prepare again")
    parser.add_argument("--trl", action="store_true", help="time TRL on the same file")
    parser.add_argument("--embedded", action="store_true", help="run without a separate Prefect server")
    parser.add_argument("--scratch", type=Path, help="folder for data and stores")
    return parser.parse_args()


if __name__ == "__main__":
    main()
