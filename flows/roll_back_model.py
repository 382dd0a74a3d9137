"""Make the previous version of a model champion again."""

from prefect import flow
from pydantic import BaseModel

from flows.reports.links import version_link
from flows.reports.pages import show_promotion
from sft_core.processes.runtime import RuntimeConfig
from tasks.home import open_store
from tasks.roll_back_version import roll_back_version
from tasks.tracking import open_registry


class Restored(BaseModel):
    """What came of it."""

    status: str = "completed"
    model_uri: str
    """Of the version that is champion again."""
    taken_back: str
    """The version that was."""
    aliases: dict[str, str]
    """Of the model, as they stand now."""


@flow(name="roll-back-model", flow_run_name="{name}")
def roll_back_model(name: str, reason: str | None = None, runtime: RuntimeConfig | None = None) -> Restored:
    """Take the champion back.

    Args:
        name: The registered model.
        reason: For the record.
        runtime: Where the state is.
    """
    store = open_store(runtime or RuntimeConfig())
    registry = open_registry(store)
    done = roll_back_version(name, reason, registry=registry, store=store)
    aliases = registry.aliases(name)
    words = f"champion again, in the place of version {done.taken_back}" + (f": {reason}" if reason else "")
    show_promotion(version_link(registry.tracking_uri, name, done.champion), words, None, aliases)
    return Restored(model_uri=f"models:/{name}/{done.champion}", taken_back=done.taken_back, aliases=aliases)
