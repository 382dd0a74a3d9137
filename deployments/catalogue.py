"""Catalogue of the deployments: `sft deploy` makes them from this list, and `prefect.yaml` lists the same.

run-recipe/<recipe>    sft-cpu   one for each file in recipes/, with a form; prepares, then triggers sft/sft
sweep/<recipe>, retrain-on-change/<recipe>   sft-cpu
sft/sft                sft-gpu   trains and evaluates what other flows trigger
score-model/…          sft-gpu
prepare-data/… and others        sft-cpu
a team's own           sft-cpu   deployments/schedules.yaml
"""

import importlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import Flow

from deployments.names import CPU_POOL, GPU_POOL, TRAIN_DEPLOYMENT
from deployments.schedules import FILE, AnySchedule, OwnDeployment, read_own
from flows.triggers.run_form import lay_form
from sft_core.errors import RecipeError
from sft_core.recipe.recipe_file import parse_recipe, read_content

RUN_RECIPE = "flows.run_recipe.run_recipe"
ALONE = {
    "flows.sft.sft": GPU_POOL,
    "flows.prepare_data.prepare_data": CPU_POOL,
    "flows.score_model.score_model": GPU_POOL,
    "flows.score_model.compare_models": GPU_POOL,
    "flows.promote_model.promote_model": CPU_POOL,
    "flows.roll_back_model.roll_back_model": CPU_POOL,
    "flows.prune_home.prune_home": CPU_POOL,
}
"""Entrypoint → work pool of the flows with a single deployment, which has the flow's name."""
TRAINED_APART = ("preset", "train_on")
"""Parameters of all flows in `PER_RECIPE`."""
PER_RECIPE = (RUN_RECIPE, "flows.sweep.sweep", "flows.retrain_on_change.retrain_on_change")
"""Flows with one deployment per recipe, which has the recipe's name. They take `preset` and `train_on`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One deployment of the catalogue."""

    entrypoint: str
    """Module path of the flow. File paths are not used: loading a flow from a file puts its folder on the import path,
    where its modules shadow other packages."""
    name: str
    pool: str
    parameters: dict[str, Any] = field(default_factory=dict)
    description: str | None = None
    """Description of the deployment; None uses the flow's."""
    tags: tuple[str, ...] = ()
    job_variables: dict[str, Any] = field(default_factory=dict)
    concurrency_limit: int | None = None
    collision_strategy: str = "ENQUEUE"
    schedule: AnySchedule | None = None
    is_active: bool = True
    """True if the schedule creates runs."""

    @property
    def flow(self) -> "Flow[..., Any]":
        """The flow that it runs, imported from the entrypoint."""
        module, _, name = self.entrypoint.rpartition(".")
        found = getattr(importlib.import_module(module), name)
        assert isinstance(found, Flow)
        return found

    @property
    def full_name(self) -> str:
        """Name in the form FLOW/DEPLOYMENT."""
        return f"{self.flow.name}/{self.name}"

    def preset(self, checkout: Path) -> dict[str, Any]:
        """Read the content of the recipe file that it runs; empty for a flow that runs no recipe.

        Raises:
            RecipeError: if the file is not a valid recipe, or not valid with the deployment's parameters applied to it.
        """
        if "preset" not in self.parameters:
            return {}
        preset = self.parameters["preset"]
        content = read_content(checkout / preset, [], logging.getLogger(__name__).info)
        is_form = self.entrypoint == RUN_RECIPE
        fields = {name: value for name, value in self.parameters.items() if is_form and name not in TRAINED_APART}
        where = f"{preset} with the parameters of {self.full_name}" if fields else preset
        parse_recipe(lay_form(content, fields) if self.entrypoint == RUN_RECIPE else content, where)
        return content


def catalogue(checkout: Path) -> list[Entry]:
    """List all deployments of a checkout.

    Raises:
        RecipeError: if `deployments/schedules.yaml` is not valid, or names a deployment that exists already.
    """
    entries = [*_alone(), *_of_recipes(checkout), *(_own(one) for one in read_own(checkout))]
    names = [entry.full_name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise RecipeError(f"{FILE}: the deployment {name} is defined twice; give one of them another name")
    return entries


def _alone() -> Iterator[Entry]:
    for entrypoint, pool in ALONE.items():
        name = Entry(entrypoint, "", pool).flow.name
        yield Entry(entrypoint, name, pool)


def _of_recipes(checkout: Path) -> Iterator[Entry]:
    for file in sorted((checkout / "recipes").glob("*.yaml")):
        for entrypoint in PER_RECIPE:
            yield Entry(entrypoint, file.stem, CPU_POOL, _trained_apart(f"recipes/{file.name}"))


def _own(one: OwnDeployment) -> Entry:
    by_name = {Entry(entrypoint, "", "").flow.name: entrypoint for entrypoint in (*ALONE, *PER_RECIPE)}
    if one.flow not in by_name:
        raise RecipeError(f"{FILE}: {one.name}: expected a flow of {', '.join(by_name)}; found '{one.flow}'")
    entrypoint = by_name[one.flow]
    if (entrypoint in PER_RECIPE) != (one.recipe is not None):
        expected = "a `recipe`" if entrypoint in PER_RECIPE else "no `recipe`"
        raise RecipeError(f"{FILE}: {one.name}: expected {expected} with `flow: {one.flow}`, found {one.recipe}")
    return Entry(
        entrypoint=entrypoint,
        name=one.name,
        pool=ALONE.get(entrypoint, CPU_POOL),
        parameters={**(_trained_apart(one.recipe) if one.recipe else {}), **one.parameters},
        description=one.description,
        tags=one.tags,
        job_variables=one.job_variables,
        concurrency_limit=one.concurrency_limit,
        collision_strategy=one.collision_strategy,
        schedule=one.schedule,
        is_active=one.active,
    )


def _trained_apart(preset: str) -> dict[str, Any]:
    return {"preset": preset, "train_on": TRAIN_DEPLOYMENT}
