"""What a Prefect server does by itself: ends runs that died unseen, chains scoring and promotion, tells people.

    sft: dead runs               on     a run whose process falls silent becomes Crashed
    sft: score after training    off    a version that was registered is measured from the registry, on its own recipe
    sft: promote after scoring   off    a model that was measured is brought before the gate again
    sft: tell of failed runs     on     where a block is named that tells somebody
    sft: tell of refused models  on     likewise
    sft: tell of new champions   on     likewise

The flow `sft` scores and promotes by itself; the two that chain are for those who want it done again by others, and are
made switched off. Whoever switches one on or off is not overruled when they are made again.
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState, RunDeployment, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound

from deployments.environment import HEARTBEAT_SECONDS
from sft_core.errors import RecipeError
from tasks.events import CHAMPION_CHANGED, REFUSED, REGISTERED

SILENCE = timedelta(seconds=3 * HEARTBEAT_SECONDS)
NOTIFY_VARIABLE = "SFT_NOTIFY_BLOCK"
SCORE_DEPLOYMENT, PROMOTE_DEPLOYMENT = "score-model/score-model", "promote-model/promote-model"
OUR_MODULES = "flows."
SIGNS_OF_LIFE = frozenset(
    f"prefect.flow-run.{event}"
    for event in (
        "heartbeat",
        *("Completed", "Failed", "Cancelled", "Crashed"),  # it ended, however slowly its process goes
        *("Suspended", "Paused", "AwaitingRetry", "Scheduled", "AwaitingConcurrencySlot", "Pending"),  # it waits
    )
)


def make_automations(notify: str | None = None) -> list[str]:
    """Make all automations on the server that `PREFECT_API_URL` names, or bring those of the same name up to date.

    What needs a deployment that the server does not have is left out.

    Args:
        notify: TYPE/NAME of a block that tells somebody: a webhook or any of Prefect's notification blocks, for
            example `webhook/alerts` or `slack-webhook/alerts`; by default `$SFT_NOTIFY_BLOCK`; with neither, nobody is
            told.

    Returns:
        The names of the automations.

    Raises:
        RecipeError: if the server has no such block.
    """
    with get_client(sync_client=True) as client:
        wanted = [*_dead_runs(client), *_chain(client), *_notices(client, notify or os.environ.get(NOTIFY_VARIABLE))]
        for automation in wanted:
            known = client.read_automations_by_name(automation.name)
            if known:
                kept = automation.model_copy(update={"enabled": known[0].enabled})
                whole = AutomationCore(**kept.model_dump(exclude={"owner_resource"}))  # only what is set is sent
                client.update_automation(known[0].id, whole)
            else:
                client.create_automation(automation)
    return [automation.name for automation in wanted]


def _dead_runs(client: SyncPrefectClient) -> Iterator[AutomationCore]:
    flows = _our_flows(client)
    if flows:
        yield AutomationCore(
            name="sft: dead runs",
            description=f"A run that said nothing for {SILENCE.seconds} s, and did not end or wait, becomes Crashed.",
            trigger=EventTrigger(
                after={"prefect.flow-run.heartbeat"},
                expect=set(SIGNS_OF_LIFE),
                match=_resource("prefect.flow-run.*"),
                match_related=flows,
                for_each={"prefect.resource.id"},
                posture=Posture.Proactive,
                threshold=1,
                within=SILENCE,
            ),
            actions=[
                ChangeFlowRunState(
                    state=StateType.CRASHED,
                    message=f"Its process said nothing for {SILENCE.seconds} s: it was killed, or its machine died. "
                    "Retry goes on from the last checkpoint.",
                )
            ],
        )


def _chain(client: SyncPrefectClient) -> Iterator[AutomationCore]:
    score, promote = (_deployment(client, name) for name in (SCORE_DEPLOYMENT, PROMOTE_DEPLOYMENT))
    if score is not None:
        recipe = {"__prefect_kind": "json", "value": _jinja("{{ event.payload.recipe | tojson }}")}
        yield AutomationCore(
            name="sft: score after training",
            description="Measures a version as it lies in the registry, on the held-out rows of its own recipe.",
            enabled=False,
            trigger=EventTrigger(expect={REGISTERED}, posture=Posture.Reactive, threshold=1),
            actions=[
                RunDeployment(
                    source="selected",
                    deployment_id=score.id,
                    parameters={"model": _jinja("{{ event.payload.model_uri }}"), "recipe": recipe},
                )
            ],
        )
    if score is not None and promote is not None:
        yield AutomationCore(
            name="sft: promote after scoring",
            description="Brings a registered model that was measured before the gate again.",
            enabled=False,
            trigger=EventTrigger(
                expect={"prefect.flow-run.Completed"},
                match_related=ResourceSpecification(
                    {
                        "prefect.resource.role": "deployment",
                        "prefect.resource.id": f"prefect.deployment.{score.id}",
                    }
                ),
                posture=Posture.Reactive,
                threshold=1,
            ),
            actions=[
                RunDeployment(
                    source="selected",
                    deployment_id=promote.id,
                    parameters={"model": _jinja("{{ flow_run.parameters['model'] }}")},
                )
            ],
        )


def _notices(client: SyncPrefectClient, block: str | None) -> Iterator[AutomationCore]:
    if block is None:
        return
    flows = _our_flows(client)
    if flows:
        ended = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}
        yield AutomationCore(
            name="sft: tell of failed runs",
            trigger=EventTrigger(
                expect=ended,
                match=_resource("prefect.flow-run.*"),
                match_related=flows,
                posture=Posture.Reactive,
                threshold=1,
            ),
            actions=[
                _tell(
                    client,
                    block,
                    "sft: {{ flow_run.name }} ended as {{ flow_run.state.name }}",
                    "{{ flow.name }}/{{ flow_run.name }}: {{ flow_run.state.message }} {{ flow_run|ui_url }}",
                )
            ],
        )
    what = "{{ event.payload.model_uri }}: {{ event.payload.verdict }} ({{ event.payload.scores }})"
    for name, event, subject in (
        ("sft: tell of refused models", REFUSED, "sft: {{ event.payload.model_uri }} did not become champion"),
        ("sft: tell of new champions", CHAMPION_CHANGED, "sft: {{ event.payload.model_uri }} is champion"),
    ):
        yield AutomationCore(
            name=name,
            trigger=EventTrigger(expect={event}, match=_resource("sft.model.*"), posture=Posture.Reactive, threshold=1),
            actions=[_tell(client, block, subject, what)],
        )


def _tell(client: SyncPrefectClient, block: str, subject: str, body: str) -> CallWebhook | SendNotification:
    kind, _, name = block.partition("/")
    try:
        document = client.read_block_document_by_name(name, kind, include_secrets=False)
    except ObjectNotFound as error:
        raise RecipeError(
            f"expected the TYPE/NAME of a block on the Prefect server, for example webhook/alerts, found '{block}', "
            "which it does not have; `prefect block ls` shows all"
        ) from error
    if kind == "webhook":
        payload = '{"subject": {{ subject|tojson }}, "body": {{ body|tojson }}}'
        parts = [f"{{% set {key} %}}{value}{{% endset %}}" for key, value in (("subject", subject), ("body", body))]
        return CallWebhook(block_document_id=document.id, payload="".join([*parts, payload]))
    return SendNotification(block_document_id=document.id, subject=subject, body=body)


def _our_flows(client: SyncPrefectClient) -> ResourceSpecification | None:
    """The flows of all deployments of this project: those that are named by its modules."""
    flows = {
        f"prefect.flow.{deployment.flow_id}"
        for deployment in client.read_deployments()
        if (deployment.entrypoint or "").startswith(OUR_MODULES)
    }
    if not flows:
        return None
    return ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.id": sorted(flows)})


def _deployment(client: SyncPrefectClient, name: str) -> Any:
    try:
        return client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None


def _resource(pattern: str) -> ResourceSpecification:
    return ResourceSpecification({"prefect.resource.id": pattern})


def _jinja(template: str) -> dict[str, str]:
    """A template as Prefect wants it among parameters: a plain string with an id fails, and only the event feed
    says so."""
    return {"__prefect_kind": "jinja", "template": template}
