"""A home of its own with a stack over it, and ways to look at both."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from conftest import RECIPE, Workspace, make_workspace
from workers import fork_flow_runs

from deployments.stack.addresses import ask

SECONDS = 240.0
"""For anything to happen; long, because servers start slowly on a machine that others use."""
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def make_home(folder: Path, **training: Any) -> Workspace:
    """A workspace whose recipe can be run from any folder, with little to train."""
    place = make_workspace(folder, prefect_url=None, num_rows=120, is_forked=False)
    recipe = {
        **RECIPE,
        "model": {**RECIPE["model"], "tokenizer": str(folder / "tokenizer")},
        "sources": [{**RECIPE["sources"][0], "path": str(place.data)}],
        "training": {"max_steps": 2, "logging_steps": 1, "gradient_checkpointing": False, **training},
        "evaluation": {"num_prompts": 0},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return place


def state_of(place: Workspace) -> dict[str, Any]:
    """What the keeper wrote last."""
    file = place.home / "stack" / "state.json"
    return json.loads(file.read_text()) if file.exists() else {}


def start_foreground(place: Workspace, *options: str) -> "subprocess.Popen[str]":
    """`sft up` as in a terminal; returns when all works."""
    before = state_of(place).get("token")
    process = place.start("up", *options)
    wait_for(
        lambda: (
            process.poll() is not None
            or (state_of(place).get("token") != before and state_of(place).get("phase") == "running")
        ),
        "the stack to come up",
    )
    assert process.poll() is None, process.communicate(timeout=60)[1]
    return process


def fork_flow_runs_of(place: Workspace) -> None:
    """Have the stack's workers fork the processes of flow runs, where these are not what a test looks at."""
    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(f"{state_of(place)['prefect_url']}/api") as client:
        fork_flow_runs(client)


def trigger(place: Workspace, deployment: str = "sft/sft") -> str:
    """Start a run of a deployment through the API; returns its id."""
    api = f"{state_of(place)['prefect_url']}/api"
    recipe = yaml.safe_load((place.folder / "recipe.yaml").read_text())
    found = ask(f"{api}/deployments/name/{deployment}")
    return str(ask(f"{api}/deployments/{found['id']}/create_flow_run", {"parameters": {"recipe": recipe}})["id"])


def wait_for_run(place: Workspace, flow_run: str) -> dict[str, Any]:
    """The run, when it has ended."""
    address = f"{state_of(place)['prefect_url']}/api/flow_runs/{flow_run}"
    wait_for(lambda: ask(address, seconds=30)["state_type"] in ENDED, "the flow run to end")
    return dict(ask(address))


def is_training(place: Workspace) -> bool:
    return any('"loss"' in path.read_text() for path in place.home.glob("work/train_model/*/metrics.jsonl"))


def processes_of(place: Workspace) -> list[str]:
    """Commands of living processes that were started for the home, told by their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"SFT_HOME={place.home}\0".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def nothing_is_left(place: Workspace) -> None:
    wait_for(lambda: not processes_of(place), f"the end of {processes_of(place)}", 60)


def wait_for(condition: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.2)


def end(place: Workspace, process: "subprocess.Popen[str] | None" = None) -> None:
    """Whatever a test came to, nothing stays behind."""
    if process is not None and process.poll() is None:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    place.sft("down")
