"""People trigger runs of one recipe on a server; workers of two pools share the work."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from workers import Team, wait_until

pytestmark = pytest.mark.e2e
RUN = "run-recipe/sums"


@pytest.fixture(scope="module", autouse=True)
def schedules(team: Team) -> Iterator[Path]:
    """A team's own deployment, from the first test on: its schedule has minutes to wait for."""
    now = datetime.datetime.now(datetime.UTC)
    minutes = sorted((now.minute + later) % 60 for later in (2, 4, 7, 12, 20))
    entry = {"name": "now-and-then", "flow": "prune-home", "cron": f"{','.join(map(str, minutes))} * * * *"}
    file = team.workspace.folder / "deployments" / "schedules.yaml"
    file.write_text(yaml.safe_dump({"deployments": [{**entry, "parameters": {"keep_days": 30}}]}))
    outcome = team.workspace.sft("deploy")
    assert outcome.code == 0, outcome.stderr
    yield file
    file.unlink(missing_ok=True)


class Held:
    """Training runs that do not end before they may: their last metric waits for a file."""

    def __init__(self, folder: Path) -> None:
        self._go = folder / "go"
        (folder / "held.py").write_text(
            "import pathlib, time\n\n"
            "def wait(outputs):\n"
            f"    while not pathlib.Path({str(self._go)!r}).exists():\n"
            "        time.sleep(0.2)\n"
            "    return {'waited': 1.0}\n"
        )
        self.evaluation: dict[str, Any] = {"metrics": ["held.py:wait"], "baseline": False}

    def release(self) -> None:
        self._go.touch()

    def hold(self) -> None:
        self._go.unlink(missing_ok=True)


@pytest.fixture
def held(team: Team) -> Iterator[Held]:
    held = Held(team.workspace.folder)
    held.hold()
    yield held
    held.release()


def child_of(team: Team, parent: Any, number: int = 0) -> Any:
    """The training that a run has started."""

    def trainings() -> list[Any]:
        return [run for run in team.children(parent) if run.deployment_id is not None]

    wait_until(lambda: len(trainings()) > number, lambda: f"{team.run(parent).state}: {team.log(parent)}")
    return trainings()[number]


def is_running(run: Any) -> bool:
    assert not run.state.is_final(), run.state
    return bool(run.state.is_running())


def test_the_second_run_prepares_its_data_while_the_first_has_the_gpu_and_trains_after_it(
    team: Team, held: Held
) -> None:
    first = team.trigger(RUN, evaluation=held.evaluation)
    training = child_of(team, first)
    team.wait(training.id, is_running)
    second = team.trigger(RUN, training={"learning_rate": 0.001}, tokens={"max_length": 96})
    waiting = child_of(team, second)

    assert [run.state.name for run in team.children(second) if run.deployment_id is None] == ["Completed"]
    assert team.run(waiting.id).state.is_scheduled()
    assert team.run(training.id).state.is_running()

    held.release()
    assert team.end(first).state.is_completed(), team.log(first)
    assert team.end(second).state.is_completed(), team.log(second)
    assert team.run(waiting.id).start_time >= team.run(training.id).end_time
    recipe = team.run(waiting.id).parameters["recipe"]
    assert (recipe["training"]["learning_rate"], recipe["training"]["max_steps"]) == (0.001, 6)
    assert recipe["tokens"]["max_length"] == 96


def test_a_run_that_is_cancelled_cancels_its_training_and_when_it_is_run_again_starts_another(
    team: Team, held: Held
) -> None:
    from prefect.states import Cancelling, Scheduled

    parent = team.trigger(RUN, evaluation=held.evaluation, training={"max_steps": 4})
    training = child_of(team, parent)
    team.wait(training.id, is_running)
    with team.client() as client:
        client.set_flow_run_state(parent, Cancelling())
    assert team.end(parent).state.is_cancelled()
    assert team.end(training.id).state.is_cancelled()

    held.release()
    with team.client() as client:
        client.set_flow_run_state(parent, Scheduled(name="AwaitingRetry"), force=True)
    again = child_of(team, parent, 1)
    assert team.end(again.id).state.is_completed(), team.log(again.id)
    assert team.end(parent).state.is_completed(), team.log(parent)
    assert (team.workspace.home / "reports" / f"{again.id}.json").exists()


def test_what_the_form_does_not_know_is_refused_before_there_is_a_run(team: Team) -> None:
    from prefect.exceptions import PrefectHTTPStatusError

    for parameters, message in (
        ({"trainin": {"max_steps": 2}}, "'trainin' was unexpected"),
        ({"training": {"max_stepz": 2}}, "'max_stepz' was unexpected"),
        ({"training": {"learning_rate": -1}}, "'training.learning_rate'. Failure reason: -1 is less than the minimum"),
        ({"training": {"optim": "adam"}}, "'adam' is not one of ['adamw_torch'"),
    ):
        with pytest.raises(PrefectHTTPStatusError) as refused:
            team.trigger(RUN, **parameters)
        assert refused.value.response.status_code == 409
        assert message in refused.value.response.json()["detail"]


def test_mistakes_are_told_by_the_run_that_was_triggered_and_as_early_as_they_can_be(team: Team) -> None:
    contradiction = team.trigger(RUN, tokens={"truncation_mode": "keep_end", "keep_end_token": True})
    nowhere = team.trigger(RUN, train_on="sft/nowhere")
    on_the_gpus = team.trigger(RUN, runtime={"launch": {"no_such_option": 1}})

    ended = team.end(contradiction)
    assert ended.state.is_failed()
    assert "recipes/sums.yaml: tokens: keep_end_token restores the end token" in ended.state.message
    assert team.children(contradiction) == []

    ended = team.end(nowhere)
    assert ended.state.is_failed()
    assert "has no deployment 'sft/nowhere'; `sft deploy` makes it" in ended.state.message
    assert team.children(nowhere) == []

    ended = team.end(on_the_gpus)
    training = child_of(team, on_the_gpus)
    assert ended.state.is_failed()
    assert f"of sft/sft ({team.page(training.id)}) ended as Failed" in ended.state.message
    assert "`accelerate launch` has no such option" in ended.state.message


def test_a_schedule_makes_runs_and_they_run(team: Team, schedules: Path) -> None:
    """With a SQLAlchemy that does not fit, a server looks healthy while its scheduler fails every loop."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

    def completed() -> bool:
        ours = DeploymentFilter(name=DeploymentFilterName(any_=["now-and-then"]))
        with team.client() as client:
            runs = client.read_flow_runs(deployment_filter=ours)
        return any(run.auto_scheduled and run.state is not None and run.state.is_completed() for run in runs)

    wait_until(completed)
    schedules.unlink()
    # beside what other tests have deployed to the same server
    assert "prune-home/now-and-then" in team.workspace.sft("deploy", "--json").result["left"]
    assert "prune-home/now-and-then" in team.workspace.sft("deploy", "--json", "--prune").result["removed"]
    assert team.workspace.sft("deploy", "--json").result["left"] == []
