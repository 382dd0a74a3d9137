"""However a run ends in the middle of training, no process of it stays behind, and MLflow says how it ended."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Workspace, make_workspace

pytestmark = pytest.mark.e2e
ENDLESS = ["run", "recipe.yaml", "--json", "--set", "training.max_steps=1000000", "--set", "training.logging_steps=1"]


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.2)


def processes_of(workspace: Workspace) -> list[str]:
    """Command lines of living processes that were started for the workspace, told by their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"SFT_HOME={workspace.home}\0".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def is_training(workspace: Workspace) -> bool:
    lines = [path.read_text() for path in workspace.home.glob("work/train_model/*/metrics.jsonl")]
    return any('"loss"' in line for line in lines)


def run_status(workspace: Workspace) -> list[str]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{workspace.home}/mlflow.db")
    return [run.info.status for run in client.search_runs([client.get_experiment_by_name("sft").experiment_id])]


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [(signal.SIGINT, "KILLED", 130), (signal.SIGTERM, "KILLED", 143), (signal.SIGKILL, "RUNNING", -9)],
    ids=["interrupt", "terminate", "kill"],
)
def test_no_process_stays_behind(tmp_path: Path, prefect_url: str, number: int, status: str, code: int) -> None:
    workspace = make_workspace(tmp_path, prefect_url, is_forked=False)
    process = workspace.start(*ENDLESS)
    try:
        wait_for(lambda: is_training(workspace), "the first training step")
        os.kill(process.pid, number)
        process.communicate(timeout=120)
        wait_for(lambda: not processes_of(workspace), f"the end of {processes_of(workspace)}")
    finally:
        process.kill()
    assert process.returncode == code
    assert run_status(workspace) == [status]
    assert not list(workspace.home.glob("artifacts/train_model/*"))


def test_a_run_on_the_embedded_defaults_takes_its_prefect_server_with_it(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, prefect_url=None, is_forked=False)
    process = workspace.start(*ENDLESS)
    wait_for(lambda: is_training(workspace), "the first training step")
    assert any("shared_server_process" in command for command in processes_of(workspace))
    process.terminate()
    process.communicate(timeout=120)
    wait_for(lambda: not processes_of(workspace), f"the end of {processes_of(workspace)}")
    assert process.returncode == 143


def listeners(workspace: Workspace) -> list[int]:
    """Trainers that can be asked to end."""
    return [int(path.name.split("@")[0]) for path in workspace.home.glob("work/train_model/*/listening/*")]


def test_after_a_kill_the_same_command_goes_on_in_training_and_in_the_same_mlflow_run(
    tmp_path: Path, prefect_url: str
) -> None:
    workspace = make_workspace(tmp_path, prefect_url, is_forked=False)
    slowed = ["training.max_steps=120", "training.logging_steps=1", "training.save_steps=4"]
    words = [word for item in slowed for word in ("--set", item)]

    process = workspace.start("run", "recipe.yaml", *words)
    saved = lambda: list(workspace.home.glob("work/train_model/*/checkpoints/checkpoint-*/checkpoint.json"))  # noqa: E731
    wait_for(lambda: bool(saved()), "a checkpoint")
    process.kill()
    process.communicate(timeout=60)
    wait_for(lambda: not processes_of(workspace), "the trainer's end")
    killed_at = max(int(path.parent.name.split("-")[1]) for path in saved())
    killed = listeners(workspace)

    process = workspace.start("run", "recipe.yaml", *words)
    wait_for(lambda: listeners(workspace) not in ([], killed), "the trainer to go on")
    os.kill(listeners(workspace)[0], signal.SIGTERM)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 75, stderr
    assert "training was asked to end and stopped at step" in stderr
    assert run_status(workspace) == ["KILLED"]

    result = replace(workspace, is_forked=True).ok("run", *slowed)
    assert run_status(workspace) == ["FINISHED"]
    assert result["resumed_from"] > killed_at

    from mlflow import MlflowClient

    points = MlflowClient(result["tracking_uri"]).get_metric_history(result["mlflow_run_id"], "loss")
    assert [point.step for point in points] == list(range(1, 121)), "one clean curve"
    folder = Path(result["artifacts"]["train_model"])
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics if "loss" in line] == list(range(1, 121))
    assert [line["step"] for line in metrics if "eval_loss" in line] == [0, *range(3, 121, 3)]
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json",
        "metrics.jsonl",
        "model",
        "plan.json",
        "probe.safetensors",
        "result.json",
    ]
    assert not list(workspace.home.glob("unfinished/*")), "what the killed run left behind is swept"
    assert not list(workspace.home.glob("work/train_model/*")), "nothing is left to go on with"
