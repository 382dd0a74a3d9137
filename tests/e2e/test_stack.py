"""`sft up` brings up all that a person needs on one machine; the command and the workers share it; `sft down` leaves
nothing."""

import json
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, Outcome, Workspace
from stacks import (
    end,
    fork_flow_runs_of,
    make_home,
    nothing_is_left,
    processes_of,
    start_foreground,
    state_of,
    trigger,
    wait_for_run,
)

from deployments.stack.addresses import ask

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    made = make_home(tmp_path_factory.mktemp("stack"))
    yield made
    end(made)


@pytest.fixture(scope="module")
def up(place: Workspace) -> dict[str, Any]:
    """What `sft up --detach --json` said in a fresh home."""
    outcome = place.sft("up", "--detach", "--json")
    assert outcome.code == 0, outcome.stderr
    return outcome.result


def mlflow_runs(place: Workspace) -> list[tuple[str, str]]:
    with sqlite3.connect(place.home / "mlflow.db", timeout=30) as database:
        return database.execute("SELECT run_uuid, status FROM runs").fetchall()


def test_all_parts_work_when_it_returns(place: Workspace, up: dict[str, Any]) -> None:
    assert up["status"] == "running"
    assert {part["name"]: part["health"] for part in up["parts"]} == {
        "prefect-server": "healthy",
        "mlflow-server": "healthy",
        "deploy": "done",
        "worker-cpu": "healthy",
        "worker-gpu": "healthy",
    }
    assert {"sft/sft", "prepare-data/prepare-data"} <= set(up["deployments"])
    assert ask(f"{up['mlflow_url']}/health") == "OK"
    for pool in ("sft-cpu", "sft-gpu"):
        (worker,) = ask(f"{up['prefect_api_url']}/work_pools/{pool}/workers/filter", {})
        assert worker["status"] == "ONLINE"
        assert not ask(f"{up['prefect_api_url']}/work_pools/{pool}")["is_paused"]
    settings = json.dumps(ask(f"{up['prefect_api_url']}/admin/settings"))
    assert f"{place.home}/prefect/prefect.db" in settings or "**********" in settings


def test_the_pages_of_both_servers_are_served(up: dict[str, Any]) -> None:
    assert "<title>Prefect" in ask(up["prefect_url"])
    assert ask(f"{up['prefect_url']}/ui-settings")["api_url"] == up["prefect_api_url"]
    assert "<title>MLflow" in ask(up["mlflow_url"])


def test_a_second_one_says_where_the_first_runs(place: Workspace, up: dict[str, Any]) -> None:
    outcome = place.sft("up")
    assert outcome.code == 2
    assert up["prefect_url"] in outcome.stderr
    assert up["mlflow_url"] in outcome.stderr
    assert f"process {up['keeper']['pid']}" in outcome.stderr


def test_a_run_of_a_worker_and_a_run_of_the_command_are_one_in_mlflow(place: Workspace, up: dict[str, Any]) -> None:
    fork_flow_runs_of(place)
    run = wait_for_run(place, trigger(place))
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    assert run["work_pool_name"] == "sft-gpu"
    ((run_id, status),) = mlflow_runs(place)
    assert status == "FINISHED"

    forked = replace(place, is_forked=True)
    on_the_stack = forked.ok("run")
    assert on_the_stack["tracking_uri"] == up["mlflow_url"]
    assert on_the_stack["mlflow_url"].startswith(f"{up['mlflow_url']}/#/experiments/")
    assert on_the_stack["mlflow_run_id"] == run_id
    assert set(on_the_stack["stages"].values()) == {"cached"}
    runs = ask(f"{up['prefect_api_url']}/flow_runs/filter", {"flows": {"name": {"any_": ["sft"]}}})
    assert [one["state_type"] for one in runs] == ["COMPLETED"] * 2

    by_itself = replace(forked, variables=(("SFT_STACK", "off"),)).ok("run")
    assert by_itself["tracking_uri"] == f"sqlite:///{place.home}/mlflow.db"
    assert by_itself["mlflow_run_id"] == run_id
    assert by_itself["model_uri"] == on_the_stack["model_uri"], "the same store, so it is registered already"
    assert len(mlflow_runs(place)) == 1


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_the_server_takes_our_job_templates(up: dict[str, Any], kind: str) -> None:
    template = json.loads((PROJECT / "deployments" / f"{kind}-pool.json").read_text())
    pool = {"name": f"ours-{kind}", "type": kind, "base_job_template": template}
    assert ask(f"{up['prefect_api_url']}/work_pools/", pool)["base_job_template"] == template
    ask(f"{up['prefect_api_url']}/work_pools/ours-{kind}", method="DELETE")


def test_status_tells_addresses_and_work(place: Workspace, up: dict[str, Any]) -> None:
    outcome = place.sft("status", "--json")
    assert outcome.code == 0
    assert outcome.result["prefect_url"] == up["prefect_url"]
    assert outcome.result["running"] == []
    assert "worker-gpu" in place.sft("status").stdout


def test_down_ends_every_process(place: Workspace, up: dict[str, Any]) -> None:
    assert len(processes_of(place)) >= 6
    outcome = place.sft("down", "--json")
    assert outcome.code == 0, outcome.stderr
    assert outcome.result["was_running"]
    assert processes_of(place) == []
    assert place.sft("down", "--json").result == {
        "status": "down",
        "home": str(place.home),
        "was_running": False,
        "prefect_server_ended": False,
    }
    assert place.sft("status", "--json").result["was_killed"] is False


def test_a_part_that_is_wanted_on_a_taken_port_is_refused(place: Workspace) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        outcome: Outcome = place.sft("up", "--port", str(port))
    assert outcome.code == 2
    assert f"found 127.0.0.1:{port} in use" in outcome.stderr


@pytest.mark.postgres
def test_the_same_on_postgresql(tmp_path: Path) -> None:
    from tests.postgres import postgres

    place = make_home(tmp_path)
    with postgres() as address:
        server = address.replace("postgresql+psycopg", "postgresql")
        process: subprocess.Popen[str] = start_foreground(place, "--postgres", server)
        try:
            fork_flow_runs_of(place)
            run = wait_for_run(place, trigger(place))
            assert run["state_type"] == "COMPLETED", run["state"]["message"]
            state = state_of(place)
            body = {"experiment_ids": ["1"]}
            (found,) = ask(f"{state['mlflow_url']}/api/2.0/mlflow/runs/search", body)["runs"]
            assert found["info"]["status"] == "FINISHED"
            assert found["info"]["artifact_uri"].startswith((place.home / "mlflow-artifacts").as_uri())
            assert not (place.home / "mlflow.db").exists()
            assert not (place.home / "prefect" / "prefect.db").exists()
            process.send_signal(signal.SIGTERM)
            _, stderr = process.communicate(timeout=240)
            assert process.returncode == 0, stderr
            nothing_is_left(place)
        finally:
            end(place, process)
