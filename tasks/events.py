"""Events on the Prefect server about registered models, by which automations can be triggered.

    sft.model.registered    a version was registered; `payload.recipe` is the recipe that made it
    sft.gate.refused        the gate did not promote a version to champion
    sft.champion.changed    another version is champion now: by the gate, by a forced promotion or by a roll-back

The resource is the registered model: id `sft.model.<name>`. Every payload has `model_uri` (`models:/name/version`),
`name`, `version`, `mlflow_run_id` and `scores`. The flow run is among the related resources.
"""

import json
from typing import Any

from tasks.context import is_in_flow
from tasks.tracking import RegisteredVersion

PLACEMENT = "It announces what was done."
REGISTERED, REFUSED, CHAMPION_CHANGED = "sft.model.registered", "sft.gate.refused", "sft.champion.changed"


def emit(event: str, version: RegisteredVersion, **details: Any) -> None:
    """Emit an event about a model version; do nothing outside of a flow run.

    Args:
        event: One of this module's constants.
        version: The version of the registered model that the event is about.
        details: Further entries of the payload.
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
