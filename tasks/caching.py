"""The one cache policy: Prefect asks the artifact store, and keeps nothing of its own that could be stale.

A stage is a function that fills a folder. `artifact_task` makes a Prefect task of it whose key is a digest of the
stage's name, the code of its rooms and the canonical form of its arguments; arguments that only place the work
(`Placement`: the store, the runtime, the MLflow run) are left out by their type. The manifest decides whether the work
is done:

- no valid manifest: the policy gives Prefect no key, so the task runs, whatever Prefect remembers;
- a valid manifest: the policy (re)writes Prefect's record of it and gives the key, so the task run ends as `Cached` in
  the UI, even if Prefect's own database or storage was new, and even if the artifact was made without Prefect.
"""

import functools
import importlib.metadata
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from prefect import Task
from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from prefect.logging import get_run_logger
from prefect.results import get_result_store

from sft_core.artifact import ArtifactRef, ArtifactStore, Plan, plan_artifact
from sft_core.fingerprint import Placement, code_digest
from sft_core.records import StageOutcome

WriteStage = Callable[..., StageOutcome]
ArtifactTask = Task[..., ArtifactRef]


def artifact_task(
    rooms: Sequence[str], shard: str | None = None, libraries: Sequence[str] = ()
) -> Callable[[WriteStage], ArtifactTask]:
    """Turn a function that fills a folder into a cached Prefect task that returns an `ArtifactRef`.

    The function takes its inputs, `store` and `folder`, writes files into `folder` and returns a `StageOutcome`. The
    task takes the same but `folder`.

    Args:
        rooms: The parts of `sft_core` whose code decides what is written.
        shard: Of a task that is mapped over shards: the parameter that holds the shard.
        libraries: Packages whose version can change what is written (the tokenizer's own are part of its identity).
    """

    def decorate(write: WriteStage) -> ArtifactTask:
        stage = Stage(write.__name__, tuple(rooms), shard, tuple(libraries))
        signature = inspect.signature(write)
        inputs_only = signature.replace(
            parameters=[parameter for name, parameter in signature.parameters.items() if name != "folder"],
            return_annotation=ArtifactRef,
        )

        @functools.wraps(write)
        def build(*args: Any, **kwargs: Any) -> ArtifactRef:
            inputs = inputs_only.bind(*args, **kwargs).arguments
            store: ArtifactStore = inputs["store"]
            plan = stage.plan(inputs)
            if store.find(plan.ref) is None:
                _log_miss(store, plan)
            return store.build(plan, lambda folder: write(**inputs, folder=folder))

        build.__signature__ = inputs_only  # type: ignore[attr-defined]
        build.__annotations__ = {name: p.annotation for name, p in inputs_only.parameters.items()} | {
            "return": ArtifactRef
        }
        options: dict[str, Any] = {"name": stage.name, "cache_policy": ManifestPolicy(stage), "persist_result": True}
        if shard is not None:
            options["task_run_name"] = f"{stage.name} {{{shard}.name}}"
        return cast(ArtifactTask, Task(build, result_serializer="json", **options))

    return decorate


@dataclass(frozen=True, slots=True)
class Stage:
    """What is known of a stage before its inputs are."""

    name: str
    rooms: tuple[str, ...]
    shard: str | None
    libraries: tuple[str, ...]

    def plan(self, inputs: Mapping[str, Any]) -> Plan:
        """Name the artifact that the stage makes from its inputs."""
        identity = {name: value for name, value in inputs.items() if not isinstance(value, Placement)}
        payload = {
            "code": code_digest(self.rooms),
            "libraries": {name: importlib.metadata.version(name) for name in self.libraries},
            "inputs": {name: value for name, value in identity.items() if name != self.shard},
        }
        if self.shard is None:
            return plan_artifact(self.name, _name_of(identity.values()), payload)
        return plan_artifact(
            self.name, inputs[self.shard].name, {**payload, "shard": inputs[self.shard]}, varying=("shard",)
        )


def _name_of(values: Any) -> str:
    """Call an artifact after the first input that has a name: its source, without a shard's number."""
    for value in values:
        first = value[0] if isinstance(value, list | tuple) and value else value
        name = getattr(first, "name", None)
        if isinstance(name, str):
            return re.sub(r"-\d{5}$", "", name)
    return "artifact"


class ManifestPolicy(CachePolicy):
    """Prefect's view on the store: a key if and only if the artifact exists."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """Return the artifact's key if its manifest is valid, having made sure that Prefect's record says the same."""
        del task_ctx, flow_parameters, kwargs
        store: ArtifactStore = inputs["store"]
        plan = self.stage.plan(inputs)
        if store.find(plan.ref) is None:
            return None
        results = get_result_store()
        results.persist_result_record(
            results.create_result_record(plan.ref, key=plan.ref.key), results.generate_default_holder()
        )
        return plan.ref.key


def _log_miss(store: ArtifactStore, plan: Plan) -> None:
    changes = store.explain_miss(plan)
    if changes:
        get_run_logger().info(
            "%s is made anew; changed: %s", plan.ref.folder, "; ".join(change[:200] for change in changes[:5])
        )


def executed_or_cached(store: ArtifactStore, refs: Mapping[str, Sequence[ArtifactRef]]) -> dict[str, str]:
    """Say of each stage whether this run did any of its work: `executed` or `cached`."""
    return {
        stage: "executed" if any(store.manifest(ref).made_by == store.made_by for ref in made) else "cached"
        for stage, made in refs.items()
    }


def stage_folders(store: ArtifactStore, refs: Mapping[str, Sequence[ArtifactRef]]) -> dict[str, Path]:
    """The folder of each stage: its artifact's, or the one that holds the artifacts of all its shards."""
    return {stage: store.path(made[0]).parent if made[0].group else store.path(made[0]) for stage, made in refs.items()}
