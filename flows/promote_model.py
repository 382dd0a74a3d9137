"""Promotion of a model version that is already registered, by the gate of its recipe or by another gate."""

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
    """Result of a promotion."""

    status: str = "completed"
    model_uri: str
    is_promoted: bool
    verdict: str
    """Decision of the gate and its reason, as a sentence."""
    numbers: dict[str, Any]
    """All values that the gate compared, as in `verdict.json`."""
    aliases: dict[str, str]
    """Alias → version of the registered model, after the decision."""


@flow(name="promote-model", flow_run_name="{model}")
def promote_model(
    model: str, gate: GateConfig | None = None, force: str | None = None, runtime: RuntimeConfig | None = None
) -> Promotion:
    """Give a registered model version the alias `champion` if it passes the gate, or if the gate is overruled.

    Args:
        model: The version: NAME/VERSION, NAME@ALIAS, NAME for the newest version, or the id of an MLflow run.
        gate: The rule that decides. By default it is the gate of the recipe that is stored with the version.
        force: Reason for overruling the gate, kept with the decision. If it is empty, the gate decides.
        runtime: Settings of the `runtime` section; `home` is the state directory.
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
