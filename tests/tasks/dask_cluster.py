"""A Dask cluster on the loopback: a scheduler and workers, each a process of its own, ended by their ids."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import orjson

PROJECT = Path(__file__).parents[2]
START_SECONDS = 180


@contextmanager
def scheduler(folder: Path) -> Iterator[str]:
    """A scheduler that gives a shard up when two workers died of it; its address."""
    file = folder / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    with _process(folder / "scheduler.log", "dask_scheduler", options, PROJECT):
        deadline = time.monotonic() + START_SECONDS
        while not file.exists() or not file.read_bytes().strip().endswith(b"}"):
            assert time.monotonic() < deadline, (folder / "scheduler.log").read_text()
            time.sleep(0.1)
        yield orjson.loads(file.read_bytes())["address"]


@contextmanager
def workers(folder: Path, address: str, count: int, checkout: Path = PROJECT) -> Iterator[None]:
    """Workers of one thread each, which find the project in a checkout, and come back when they die."""
    options = [address, "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard", "--memory-limit", "0"]
    with ExitStack() as started:
        for number in range(count):
            own = folder / f"worker-{number}"
            own.mkdir()
            scratch = ["--local-directory", str(own)]
            started.enter_context(_process(own / "log.txt", "dask_worker", [*options, *scratch], checkout))
        yield


@contextmanager
def _process(log: Path, module: str, options: list[str], checkout: Path) -> Iterator[None]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
    }
    command = [sys.executable, "-m", f"distributed.cli.{module}", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=log.parent)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(60)
