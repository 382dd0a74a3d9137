"""One field is changed in the form of a run, in a real browser; a shell and the REST API that change the same field
get the same run."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from browsing import CHROMIUM, browsing, submit_form
from conftest import PROJECT, Workspace
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from stacks import end, make_home
from workers import Team

from deployments.stack.addresses import ask
from sft_core.recipe.recipe_file import load_recipe
from tests.full_size import IS_FULL

pytest.importorskip("playwright", reason="needs playwright: pip install -c constraints.txt -e '.[browser]'")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
MAX_STEPS = 5


@dataclass(frozen=True)
class Place:
    """A server with workers, and one of its deployments."""

    team: Team
    deployment: str
    preset: Path

    @property
    def prefect_url(self) -> str:
        assert self.team.workspace.prefect_url is not None
        return self.team.workspace.prefect_url.removesuffix("/api")

    def differences(self, training: UUID) -> dict[str, Any]:
        """Field → value, where the recipe that was trained is not that of the file."""
        trained = _flat(self.team.run(training).parameters["recipe"])
        preset = _flat(load_recipe(self.preset).model_dump(mode="json"))
        return {name: trained.get(name) for name in preset | trained if trained.get(name) != preset.get(name)}


@pytest.fixture(
    params=[
        "a tiny recipe",
        pytest.param(
            "the quickstart",
            marks=pytest.mark.skipif(not IS_FULL, reason="SFT_TEST_FULL=1 runs the quickstart on `sft up` as well"),
        ),
    ]
)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "a tiny recipe":
        team: Team = request.getfixturevalue("team")
        yield Place(team, "run-recipe/sums", team.workspace.folder / "recipes" / "sums.yaml")
    else:
        yield from on_a_stack(request.getfixturevalue("tmp_path"))


def on_a_stack(folder: Path) -> Iterator[Place]:
    home: Workspace = make_home(folder)
    try:
        up = home.sft("up", "--detach", "--json")
        assert up.code == 0, up.stderr
        team = Team(replace(home, prefect_url=up.result["prefect_api_url"]))
        yield Place(team, "run-recipe/quickstart", PROJECT / "recipes" / "quickstart.yaml")
    finally:
        end(home)


def from_the_form(place: Place) -> UUID:
    with browsing() as page:
        run = UUID(
            submit_form(page, f"{place.prefect_url}/deployments", place.deployment, {"max_steps": str(MAX_STEPS)})
        )
        place.team.end(run)
        page.get_by_text("Completed", exact=True).first.wait_for()
    return run


def from_a_shell(place: Place) -> UUID:
    words = ["run", place.deployment, "--param", f'training={{"max_steps": {MAX_STEPS}}}']
    told = subprocess.run(
        [sys.executable, "-m", "prefect", "deployment", *words],
        env=place.team.workspace.environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    found = re.search(r"UUID: ([0-9a-f-]{36})", told.stdout)
    assert found, told.stdout
    return UUID(found[1])


def from_the_rest_api(place: Place) -> UUID:
    api = place.team.workspace.prefect_url
    deployment = ask(f"{api}/deployments/name/{place.deployment}", seconds=30)["id"]
    body = {"parameters": {"training": {"max_steps": MAX_STEPS}}}
    return UUID(ask(f"{api}/deployments/{deployment}/create_flow_run", body, seconds=30)["id"])


def test_one_field_that_is_changed_is_one_field_that_differs_whoever_changes_it(place: Place) -> None:
    from mlflow import MlflowClient

    home = place.team.workspace.home
    runs = set()
    ways: list[Callable[[Place], UUID]] = [from_the_form, from_a_shell, from_the_rest_api]
    for start in ways:
        parent = place.team.end(start(place))
        assert parent.state.is_completed(), place.team.log(parent.id)
        (training,) = (run for run in place.team.children(parent.id) if run.deployment_id is not None)
        assert place.differences(training.id) == {"training.max_steps": MAX_STEPS}
        assert parent.name == training.name, "both are called what the recipe's run is called"
        assert "flow_run" not in inputs_of_tasks(place.team, training.id), "Prefect's page would list no task runs"
        runs.add(json.loads((home / "reports" / f"{training.id}.json").read_text())["mlflow_run_id"])
    mlflow = MlflowClient(f"sqlite:///{home}/mlflow.db")
    (run,) = (mlflow.get_run(one) for one in runs)
    assert run.info.run_name == training.name
    assert run.data.params["training/max_steps"] == str(MAX_STEPS)
    assert max(point.step for point in mlflow.get_metric_history(run.info.run_id, "num_tokens")) == MAX_STEPS


def inputs_of_tasks(team: Team, run: UUID) -> set[str]:
    """Of which kinds the inputs of a run's tasks are; the page knows task runs, parameters and constants."""
    ours = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
    with team.client() as client:
        tasks = client.read_task_runs(flow_run_filter=ours)
    assert any(task.name.startswith("train_model") for task in tasks)
    # a sub-flow is a task run too, but none that the page lists
    return {
        one.input_type
        for task in tasks
        if task.state is not None and task.state.state_details.child_flow_run_id is None
        for inputs in task.task_inputs.values()
        for one in inputs
    }


def _flat(values: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {path: values}
    return {
        name: value
        for key, inner in values.items()
        for name, value in _flat(inner, f"{path}.{key}" if path else key).items()
    }
