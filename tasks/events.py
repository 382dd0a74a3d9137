"""What happens to models, as events of the Prefect server, which automations wait for.

    sft.model.registered    a version was made; its `payload.recipe` is the recipe that made it
    sft.gate.refused        the gate did not let a version become champion
    sft.champion.changed    another version is champion now, by the gate, by somebody's word or by a roll-back

The resource is the registered model: id `sft.model.<name>`. Every payload has `model_uri` (`models:/name/version`),
`name`, `version`, `mlflow_run_id` and `scores`. The flow run is among the related resources.
"""

import json
from typing import Any

from tasks.context import is_in_flow
from tasks.tracking import RegisteredVersion

PLACEMENT = "It tells others what was done."
REGISTERED, REFUSED, CHAMPION_CHANGED = "sft.model.registered", "sft.gate.refused", "sft.champion.changed"


def emit(event: str, version: RegisteredVersion, **details: Any) -> None:
    """Tell the server what happened to a version; outside of a flow run nobody is told.

    Args:
        event: One of this module's.
        version: Of the registered model.
        details: Go into the payload.
    """
    if not is_in_flow():
        return
    from prefect.events import emit_event

    emit_event(
        event,
        resource={"prefect.resource.id": f"sft.model.{version.name}", "prefect.resource.name": version.name},
        payload={
            "model_uri": version.uri,
            "name": version.name,
            "version": version.version,
            "mlflow_run_id": version.run_id,
            "scores": json.loads(version.tags.get("sft.scorecard", "{}")),
            **details,
        },
    )
