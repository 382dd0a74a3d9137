"""Judge a version that is registered already, by the gate of its recipe or by another."""

from typing import Any

from prefect import flow
from pydantic import BaseModel

from flows.reports.links import version_link
from flows.reports.pages import show_promotion
from sft_core.processes.runtime import RuntimeConfig
from sft_core.registry.promotion import GateConfig
from tasks.home import open_store
from tasks.promote_version import gate_of, promote_version
from tasks.tracking import open_registry


class Promotion(BaseModel):
    """What came of it."""

    status: str = "completed"
    model_uri: str
    is_promoted: bool
    verdict: str
    """In words."""
    numbers: dict[str, Any]
    """All that was looked at, as in `verdict.json`."""
    aliases: dict[str, str]
    """Of the model, as they stand now."""


@flow(name="promote-model", flow_run_name="{model}")
def promote_model(
    model: str, gate: GateConfig | None = None, force: str | None = None, runtime: RuntimeConfig | None = None
) -> Promotion:
    """Make a version champion if the gate lets it, or if somebody says why it has to be.

    Args:
        model: NAME/VERSION, NAME@ALIAS, NAME for the newest version, or a run's id.
        gate: The rule; by default that of the recipe which lies beside the version.
        force: Why the gate is overruled; by default it is not.
        runtime: Where the state is.
    """
    store = open_store(runtime or RuntimeConfig())
    registry = open_registry(store)
    version = registry.find_version(model)
    rule = gate or gate_of(registry, version, store)
    verdict = promote_version(rule, version, force, registry=registry, store=store)
    promotion = Promotion(
        model_uri=version.uri,
        is_promoted=verdict.is_promoted,
        verdict=verdict.in_words,
        numbers=verdict.as_json(),
        aliases=registry.aliases(version.name),
    )
    link = version_link(registry.tracking_uri, version.name, version.version)
    show_promotion(link, promotion.verdict, promotion.numbers, promotion.aliases)
    return promotion
