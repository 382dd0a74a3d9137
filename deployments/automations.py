"""Automations of the Prefect server: they crash runs whose process died, chain scoring and promotion, and notify.

    `sft: dead runs`               on     sets a run to Crashed when its process sends no heartbeat any more
    `sft: score after training`    off    evaluates a newly registered version from the registry, with its own recipe
    `sft: promote after scoring`   off    applies the gate to a model again after it was evaluated
    `sft: tell of failed runs`     on     made only if a notification block is named
    `sft: tell of refused models`  on     made only if a notification block is named
    `sft: tell of new champions`   on     made only if a notification block is named

The flow `sft` scores and promotes by itself. The two automations that chain flows are for teams that want separate
workers to do it again, and are made disabled. An automation that a user enabled or disabled keeps that state when the
automations are made again.
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
FAILED_RUNS, REFUSED_MODELS, NEW_CHAMPIONS = (
    f"sft: tell of {what}" for what in ("failed runs", "refused models", "new champions")
)
"""Names of the automations that notify."""
SCORE_DEPLOYMENT, PROMOTE_DEPLOYMENT = "score-model/score-model", "promote-model/promote-model"
OUR_MODULES = "flows."
SIGNS_OF_LIFE = frozenset(
    f"prefect.flow-run.{event}"
    for event in (
        "heartbeat",
        *("Completed", "Failed", "Cancelled", "Crashed"),  # the run ended, even if its process still exits
        *("Suspended", "Paused", "AwaitingRetry", "Scheduled", "AwaitingConcurrencySlot", "Pending"),  # the run waits
    )
)


def make_automations(notify: str | None = None) -> list[str]:
    """Make all automations on the server that `PREFECT_API_URL` names, or update those of the same name.

    An automation that needs a deployment that the server does not have is skipped.

    Args:
        notify: TYPE/NAME of a block that sends notifications: a webhook or any of Prefect's notification blocks, for
            example `webhook/alerts` or `slack-webhook/alerts`; by default `$SFT_NOTIFY_BLOCK`. With neither, no
            notification is sent.

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
                whole = AutomationCore(
                    **kept.model_dump(exclude={"owner_resource"})
                )  # only fields that are set are sent
                client.update_automation(known[0].id, whole)
            else:
                client.create_automation(automation)
    return [automation.name for automation in wanted]


def _dead_runs(client: SyncPrefectClient) -> Iterator[AutomationCore]:
    flows = _our_flows(client)
    if flows:
        yield AutomationCore(
            name="sft: dead runs",
            description=f"A run with no heartbeat for {SILENCE.seconds} s that did not end or wait becomes Crashed.",
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
                    message=f"Its process sent no heartbeat for {SILENCE.seconds} s: it was killed, or its machine "
                    "died. Retry resumes from the last checkpoint.",
                )
            ],
        )


def _chain(client: SyncPrefectClient) -> Iterator[AutomationCore]:
    score, promote = (_deployment(client, name) for name in (SCORE_DEPLOYMENT, PROMOTE_DEPLOYMENT))
    if score is not None:
        recipe = {"__prefect_kind": "json", "value": _jinja("{{ event.payload.recipe | tojson }}")}
        yield AutomationCore(
            name="sft: score after training",
            description="Evaluates a registered version from the registry, on the held-out rows of its own recipe.",
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
            description="Applies the gate again to a registered model that was evaluated.",
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
            name=FAILED_RUNS,
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
        (REFUSED_MODELS, REFUSED, "sft: {{ event.payload.model_uri }} did not become champion"),
        (NEW_CHAMPIONS, CHAMPION_CHANGED, "sft: {{ event.payload.model_uri }} is champion"),
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
    """Return the flows of this project's deployments, whose entrypoints are modules below `flows`; None without any."""
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
    """Return a template in the form that Prefect needs in parameters.

    As a plain string, a template that yields an id fails, and only the event feed reports the failure.
    """
    return {"__prefect_kind": "jinja", "template": template}
