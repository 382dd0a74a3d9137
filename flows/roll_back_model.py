"""Rollback of the alias `champion` to the previous version of a model."""

from prefect import flow
from pydantic import BaseModel

from flows.reports.links import version_link
from flows.reports.pages import show_promotion
from sft_core.processes.runtime import RuntimeConfig
from tasks.home import open_store
from tasks.roll_back_version import roll_back_version
from tasks.tracking import open_registry
from tasks.tracking.addresses import version_uri


class Restored(BaseModel):
    """Result of a rollback."""

    status: str = "completed"
    model_uri: str
    """URI of the version that is champion again."""
    taken_back: str
    """Number of the version that was champion before the rollback."""
    aliases: dict[str, str]
    """Alias → version of the registered model, after the rollback."""


@flow(name="roll-back-model", flow_run_name="{name}")
def roll_back_model(name: str, reason: str | None = None, runtime: RuntimeConfig | None = None) -> Restored:
    """Give the alias `champion` back to the version of a registered model that had it before.

    Args:
        name: Name of the registered model.
        reason: Reason for the rollback, kept with the version.
        runtime: Settings of the `runtime` section; `home` is the state directory.
    """
    store = open_store(runtime or RuntimeConfig())
    registry = open_registry(store)
    done = roll_back_version(name, reason, registry=registry, store=store)
    aliases = registry.aliases(name)
    words = f"champion again, in the place of version {done.taken_back}" + (f": {reason}" if reason else "")
    show_promotion(version_link(registry.tracking_uri, name, done.champion), words, None, aliases)
    return Restored(model_uri=version_uri(name, done.champion), taken_back=done.taken_back, aliases=aliases)
