"""A team's MLflow: a server that keeps all artifacts behind its own address, so that no file is shared or linked.

One server and two runs for all that is asked of them, from the home that made them and from another that has none of
their files.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.e2e.conftest import Workspace
from tests.full_size import IS_FULL
from tests.mlflow_servers import mlflow_server
from tests.postgres import postgres

pytestmark = pytest.mark.e2e
OTHER = ("training.learning_rate=0.006", "training.max_steps=8")


@dataclass(frozen=True)
class Team:
    """A server, what one machine has run on it, and another machine."""

    uri: str
    here: Workspace
    elsewhere: Workspace
    first: dict[str, Any]
    second: dict[str, Any]

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "postgres" and not (IS_FULL or "postgres" in request.config.getoption("markexpr")):
        pytest.skip("the same over PostgreSQL: SFT_TEST_FULL=1, or -m postgres")
    with ExitStack() as stack:
        database = stack.enter_context(postgres()) if request.param == "postgres" else None
        yield stack.enter_context(mlflow_server(tmp_path_factory.mktemp("team-server"), database)).uri


@pytest.fixture(scope="module")
def team(server: str, new_workspace: Callable[..., Workspace], prefect_url: str) -> Team:
    here, elsewhere = (
        replace(
            new_workspace(name, prefect_url=prefect_url, num_rows=120), variables=(("MLFLOW_TRACKING_URI", server),)
        )
        for name in ("here", "elsewhere")
    )
    return Team(server, here, elsewhere, here.ok("run"), here.ok("run", *OTHER))


def ok(workspace: Workspace, *arguments: str) -> dict[str, Any]:
    outcome = workspace.sft(*arguments, "--json")
    assert outcome.code == 0, outcome.stderr
    return outcome.result


def test_the_model_and_its_evidence_lie_behind_the_server(team: Team, tmp_path: Path) -> None:
    client, version = team.client, team.second["model_uri"].split("/")
    found = client.get_model_version(*version[-2:])
    model_id = str(found.source).rpartition("/")[2]
    model = client.get_logged_model(model_id)
    assert str(model.artifact_location).startswith("mlflow-artifacts:/")
    assert model.tags["sft.verified"]

    from tasks.tracking.model_files import companion_file
    from tasks.tracking.stores import connect

    for name in ("recipe.yaml", "scorecard.json", "scored_items.arrow", "intervals.json", "verdict.json"):
        file = companion_file(connect(team.uri), model_id, name, tmp_path)
        assert file is not None, name
        assert file.stat().st_size
    verdict = json.loads((tmp_path / model_id / "verdict.json").read_text())
    assert (verdict["rule"], verdict["is_promoted"]) == ("better", True)
    weights = {item.path: item.file_size for item in client.list_logged_model_artifacts(model_id, "model")}
    for file in Path(team.second["model_dir"]).iterdir():
        assert weights[f"model/{file.name}"] == file.stat().st_size or file.name == "README.md"


def test_the_same_recipe_is_found_finished(team: Team) -> None:
    again = team.here.ok("run")
    assert set(again["stages"].values()) == {"cached"}
    assert (again["mlflow_run_id"], again["model_uri"]) == (team.first["mlflow_run_id"], team.first["model_uri"])


def test_questions_are_answered_where_the_run_was(team: Team) -> None:
    [data_set] = ok(team.here, "find", "best", "--metric", "eval_loss")["data_sets"].values()
    assert [model["uri"] for model in data_set] == ["models:/sums/2", "models:/sums/1"]
    difference = ok(team.here, "find", "difference", team.first["mlflow_run_id"], team.second["mlflow_run_id"])
    assert "training/learning_rate" in json.dumps(difference)
    [seen, *_] = ok(team.here, "find", "row", f"{team.here.data}:3")["seen"]
    assert seen["fate"] in ("trained", "held out")


def test_questions_are_answered_from_another_machine(team: Team, another_machine: Workspace) -> None:
    ours = [team.second["mlflow_run_id"], team.first["mlflow_run_id"]]
    assert [run["run_id"] for run in ok(another_machine, "find", "runs", "sums")["runs"]] == ours
    origin = ok(another_machine, "find", "origin", "models:/sums@champion")
    assert origin["run"]["run_id"] == team.second["mlflow_run_id"]
    assert "max_steps: 8" in origin["recipe"]
    uses = ok(another_machine, "find", "file", str(another_machine.data))["uses"]
    assert {use["run"]["run_id"] for use in uses} == set(ours), "the same bytes under another path"
    outcome = another_machine.sft("find", "row", f"{another_machine.data}:3")
    assert outcome.code == 0, outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_another_machine_downloads_the_champion_and_measures_it(team: Team, another_machine: Workspace) -> None:
    report = ok(another_machine, "evaluate", "models:/sums@champion", "--recipe", "recipe.yaml")
    expected = {name: value for name, value in team.second["scorecard"].items() if not name.startswith("baseline_")}
    assert report["scorecard"] == pytest.approx(expected, rel=1e-6)
    assert (another_machine.home / "downloads" / report["model_id"] / "model" / "config.json").exists()
    points = team.client.get_logged_model(report["model_id"]).metrics
    measured = {point.value for point in points if point.key == "exact_match"}
    assert measured == {report["scorecard"]["exact_match"]}, "by its run and by the evaluation"
    told = another_machine.sft("chat", "models:/sums@champion", "--json", "--max-tokens", "2", typed="1 plus 1 is")
    assert told.result["status"] == "completed", told.stderr


def test_another_machine_takes_the_champion_back_and_brings_it_again(team: Team, another_machine: Workspace) -> None:
    assert ok(another_machine, "rollback", "sums")["aliases"] == {"champion": "1"}
    judged = ok(another_machine, "promote", "sums/2")
    assert (judged["is_promoted"], judged["numbers"]["rule"]) == (False, "rolled back")
    forced = ok(another_machine, "promote", "sums/2", "--force", "mended")
    assert forced["aliases"] == {"champion": "2", "previous": "1"}


def test_pruning_keeps_what_versions_on_the_server_need(team: Team) -> None:
    given_up = team.here.ok("prepare", "name=third", "tokens.max_length=96")
    ok(team.here, "prune", "--keep-days", "0", "--keep-runs", "0", "--yes")
    assert not Path(given_up["dataset"]).exists()
    assert Path(team.first["model_dir"]).exists()
    assert Path(team.second["model_dir"]).exists()


@pytest.fixture
def another_machine(team: Team) -> Iterator[Workspace]:
    """Where nothing lies that the first machine has: its folder is out of reach meanwhile."""
    away = team.here.folder.with_name(team.here.folder.name + "-away")
    team.here.folder.rename(away)
    try:
        yield team.elsewhere
    finally:
        away.rename(team.here.folder)
