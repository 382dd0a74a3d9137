"""Automations on a real server: scoring follows a registration, promotion follows scoring, no action fails."""

import time
from collections.abc import Callable, Collection, Iterator
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Completed, Running

from deployments.automations import make_automations
from sft_core.errors import RecipeError
from sft_core.recipe.held_out import HeldOutRecipe
from tasks.events import REGISTERED, emit
from tasks.tracking import RegisteredVersion

pytestmark = pytest.mark.e2e
RECIPE: dict[str, Any] = {
    "name": "odd",
    "model": {"path": "m"},
    "sources": [{"path": "a.jsonl", "columns": {"prompt": "<q> & '\u2014' {{ x }}"}}],
    "formats": {"eval_fraction": 0.1},
}


@pytest.fixture
def client(prefect_url: str) -> Iterator[SyncPrefectClient]:
    settings = {PREFECT_API_URL: prefect_url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with temporary_settings(settings), SyncPrefectClient(prefect_url) as opened:
        yield opened
        for automation in opened.read_automations():
            opened.delete_automation(automation.id)


def wait_for(look: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 120
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.2)
    return found


def actions(client: SyncPrefectClient, ending: str, automations: Collection[UUID]) -> list[Any]:
    """What became of the actions of some automations: the server, and its events, are those of other tests too."""
    ours = [f"prefect.automation.{automation}" for automation in automations]
    body = {
        "filter": {"event": {"name": [f"prefect.automation.action.{ending}"]}, "resource": {"id": ours}},
        "limit": 50,
    }
    return list(client.request("POST", "/events/filter", json=body).json()["events"])


def test_scoring_follows_training_and_promotion_follows_scoring(client: SyncPrefectClient) -> None:
    deployments = {
        name: client.create_deployment(client.create_flow_from_name(name), name, entrypoint=f"flows.{module}.{verb}")
        for name, module, verb in (
            ("score-model", "score_model", "score_model"),
            ("promote-model", "promote_model", "promote_model"),
        )
    }
    assert make_automations() == ["sft: dead runs", "sft: score after training", "sft: promote after scoring"]
    known = {automation.name: automation for automation in client.read_automations()}
    assert {name: automation.enabled for name, automation in known.items()} == {
        "sft: dead runs": True,
        "sft: score after training": False,
        "sft: promote after scoring": False,
    }
    for name in ("sft: score after training", "sft: promote after scoring"):
        client.resume_automation(known[name].id)
    make_automations()
    assert all(automation.enabled for automation in client.read_automations()), "who switched it on is not overruled"
    assert len(client.read_automations()) == 3

    version = RegisteredVersion("m", "7", {"sft.scorecard": '{"eval_loss": 1.5}'}, run_id="r", model_id="m-1")

    @flow(name="register")
    def register() -> None:
        emit(REGISTERED, version, recipe=RECIPE)

    def runs_of(name: str) -> list[Any]:
        return [run for run in client.read_flow_runs() if run.deployment_id == deployments[name]]

    register()
    (scoring,) = wait_for(lambda: runs_of("score-model"), "a run that scores")
    assert scoring.parameters["model"] == "models:/m/7"
    assert scoring.parameters["recipe"] == RECIPE
    assert HeldOutRecipe.model_validate(scoring.parameters["recipe"]).name == RECIPE["name"]

    client.set_flow_run_state(scoring.id, Running(), force=True)
    client.set_flow_run_state(scoring.id, Completed(), force=True)
    (promotion,) = wait_for(lambda: runs_of("promote-model"), "a run that promotes")
    assert promotion.parameters == {"model": "models:/m/7"}
    ours = [automation.id for name, automation in known.items() if name != "sft: dead runs"]
    wait_for(lambda: len(actions(client, "executed", ours)) >= 2, "the server to keep what it did")
    assert not actions(client, "failed", ours)


def test_a_block_that_is_not_there_is_told(client: SyncPrefectClient) -> None:
    with pytest.raises(RecipeError, match="found 'webhook/nobody', which it does not have"):
        make_automations("webhook/nobody")
