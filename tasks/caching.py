"""The one cache policy: Prefect asks the artifact store, and keeps nothing of its own that could be stale.

A stage is a function that fills a folder. `artifact_task` makes a Prefect task of it whose key is a digest of the
stage's name, the code of its rooms and the canonical form of its arguments; arguments that only place the work
(`Placement`: the store, the runtime, the MLflow run) are left out by their type. `sharded_task` does the same for a
function that says what is to be done for one shard: the task takes all shards, each has an artifact and a key of its
own, and those that are missing are made side by side. The manifests decide whether the work is done:

- a manifest is missing: the policy gives Prefect no key, so the task runs, whatever Prefect remembers;
- all are valid: the policy (re)writes Prefect's record of them and gives the key, so the task run ends as `Cached` in
  the UI, even if Prefect's own database or storage was new, and even if the artifacts were made without Prefect.

One task run for all shards of a stage, because each task run costs Prefect 5 to 150 ms and ten events: a million rows
are 245 shards and four such stages.
"""

import functools
import importlib.metadata
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from prefect import Task
from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from prefect.results import get_result_store
from prefect.runtime import task_run

from sft_core.artifact import ArtifactRef, ArtifactStore, Plan, plan_artifact
from sft_core.fingerprint import Placement, code_digest, digest
from sft_core.records import StageOutcome
from tasks.deadlines import time_limit
from tasks.preparing import ShardProgress
from tasks.progress import logger
from tasks.retrying import JITTER, RETRY_DELAYS, retry_if_it_can_pass
from tasks.slots import gpu_slots
from tasks.workers import ShardWorkers, Work

ArtifactTask = Task[..., ArtifactRef]
ShardedTask = Task[..., list[ArtifactRef]]


def artifact_task(
    rooms: Sequence[str], libraries: Sequence[str] = (), needs_gpu: bool = False
) -> Callable[[Callable[..., StageOutcome]], ArtifactTask]:
    """Turn a function that fills a folder into a cached Prefect task that returns an `ArtifactRef`.

    The function takes its inputs, `store` and `folder`, writes files into `folder` and returns a `StageOutcome`. The
    task takes the same but `folder`. One that can go on where it was interrupted takes `work` too, a folder that
    outlives failures: it is the artifact's own, and is removed once the artifact exists.

    Args:
        rooms: The parts of `sft_core` whose code decides what is written.
        libraries: Packages whose version can change what is written (the tokenizer's own are part of its identity).
        needs_gpu: The work is done while slots of the GPUs are held (`tasks.slots`): as many as `processes`, which is
            then one of the inputs, takes GPUs.
    """

    def decorate(write: Callable[..., StageOutcome]) -> ArtifactTask:
        stage = Stage(write.__name__, tuple(rooms), None, tuple(libraries))
        signature = inspect.signature(write)
        kept = [parameter for name, parameter in signature.parameters.items() if name not in ("folder", "work")]
        inputs_only = signature.replace(parameters=kept, return_annotation=ArtifactRef)

        @functools.wraps(write)
        def build(*args: Any, **kwargs: Any) -> ArtifactRef:
            inputs = _bound(inputs_only, *args, **kwargs)
            store: ArtifactStore = inputs["store"]
            plan = stage.plan(inputs)
            if store.find(plan.ref) is None:
                _log_miss(store, plan)
            extra = {"work": store.work_path(plan.ref)} if "work" in signature.parameters else {}

            def work(folder: Path) -> StageOutcome:
                with (
                    gpu_slots(stage.name, inputs["processes"].gpus_here) if needs_gpu else nullcontext(),
                    time_limit(stage.name, store.time_limits.get(stage.name)),
                ):
                    return write(**inputs, **extra, folder=folder)

            return store.build(plan, work)

        return cast(ArtifactTask, _as_task(build, stage, inputs_only))

    return decorate


def sharded_task(
    rooms: Sequence[str], shard: str, libraries: Sequence[str] = ()
) -> Callable[[Callable[..., Work]], ShardedTask]:
    """Turn a function that says what to do for one shard into a cached Prefect task over all shards.

    The function takes its inputs, one of them a shard, and `store`; it returns the `Work` that fills the shard's
    folder. The task takes a sequence in that shard's place, and `workers`; it returns one `ArtifactRef` a shard. A
    parameter `threads` is none of the task's: it gets how many threads the work on one shard may use.

    Args:
        rooms: The parts of `sft_core` whose code decides what is written.
        shard: The parameter that holds the shard.
        libraries: Packages whose version can change what is written.
    """

    def decorate(work_on: Callable[..., Work]) -> ShardedTask:
        stage = Stage(work_on.__name__, tuple(rooms), shard, tuple(libraries))
        signature = inspect.signature(work_on)
        workers_too = inspect.Parameter("workers", inspect.Parameter.KEYWORD_ONLY, annotation=ShardWorkers)
        kept = [parameter for name, parameter in signature.parameters.items() if name != "threads"]
        inputs_only = signature.replace(parameters=[*kept, workers_too], return_annotation=list[ArtifactRef])

        @functools.wraps(work_on)
        def build(*args: Any, **kwargs: Any) -> list[ArtifactRef]:
            inputs = _bound(inputs_only, *args, **kwargs)
            workers: ShardWorkers = inputs.pop("workers")
            store: ArtifactStore = inputs["store"]
            planned = list(zip(inputs[shard], stage.plans(inputs), strict=True))
            missing = [(item, plan) for item, plan in planned if store.use(plan.ref) is None]
            if missing:
                _log_miss(store, missing[0][1])
                logger().info("%d of %d shards are to be made", len(missing), len(planned))
            extra = {"threads": workers.threads_a_shard(len(missing))} if len(kept) < len(signature.parameters) else {}
            works = [(plan, work_on(**{**inputs, **extra, shard: item})) for item, plan in missing]
            progress = ShardProgress(stage.name, store, [plan for _, plan in missing], len(planned))
            with time_limit(stage.name, store.time_limits.get(stage.name)):
                workers.build(store, works, progress.update)
            return [plan.ref for _, plan in planned]

        return cast(ShardedTask, _as_task(build, stage, inputs_only))

    return decorate


def _bound(signature: inspect.Signature, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """All inputs by name, with the defaults of those that are left out, as Prefect asks the policy about them."""
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def _as_task(build: Callable[..., Any], stage: "Stage", signature: inspect.Signature) -> Task[..., Any]:
    """A Prefect task with the name and the policy of a stage, whose signature is what callers pass."""
    build.__signature__ = signature  # type: ignore[attr-defined]
    annotations = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    build.__annotations__ = {**annotations, "return": signature.return_annotation}
    policy = ManifestPolicy(stage)
    return Task(
        build,
        name=stage.name,
        task_run_name=stage.run_name,
        cache_policy=policy,
        persist_result=True,
        result_serializer="json",
        retries=len(RETRY_DELAYS),
        retry_delay_seconds=RETRY_DELAYS,
        retry_jitter_factor=JITTER,
        retry_condition_fn=retry_if_it_can_pass,
    )


@dataclass(frozen=True, slots=True)
class Stage:
    """What is known of a stage before its inputs are."""

    name: str
    rooms: tuple[str, ...]
    shard: str | None
    libraries: tuple[str, ...]

    def run_name(self) -> str:
        """What the task run that is beginning is called: `tokenize_chats (gsm8k, 12 shards)`."""
        items = task_run.parameters.get(self.shard, []) if self.shard else []
        sources = list(dict.fromkeys(_without_number(item.name) for item in items))
        if not sources:
            return self.name
        shown = sources[0] if len(sources) == 1 else f"{len(sources)} sources"
        return f"{self.name} ({shown}, {len(items):,} shards)" if len(items) > 1 else f"{self.name} ({shown})"

    def plans(self, inputs: Mapping[str, Any]) -> list[Plan]:
        """Name the artifacts of all shards, where the stage has shards, else its one artifact."""
        if self.shard is None:
            return [self.plan(inputs)]
        return [self.plan({**inputs, self.shard: item}) for item in inputs[self.shard]]

    def plan(self, inputs: Mapping[str, Any]) -> Plan:
        """Name the artifact that the stage makes from its inputs, of which the shard, where it has one, is one."""
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
            return _without_number(name)
    return "artifact"


def _without_number(shard: str) -> str:
    """A shard's source: `gsm8k` of `gsm8k-00003`."""
    return re.sub(r"-\d{5}$", "", shard)


class ManifestPolicy(CachePolicy):
    """Prefect's view on the store: a key if and only if all artifacts of the stage exist."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """Return a key if all manifests are valid, having made sure that Prefect's record says the same."""
        del task_ctx, flow_parameters, kwargs
        store: ArtifactStore = inputs["store"]
        refs = [plan.ref for plan in self.stage.plans(inputs)]
        if any(store.use(ref) is None for ref in refs):
            return None
        key = refs[0].key if self.stage.shard is None else digest([self.stage.name, refs])
        results = get_result_store()
        record = results.create_result_record(refs[0] if self.stage.shard is None else refs, key=key)
        results.persist_result_record(record, results.generate_default_holder())
        return key


def _log_miss(store: ArtifactStore, plan: Plan) -> None:
    changes = store.explain_miss(plan)
    if changes:
        logger().info(
            "%s is made anew; changed: %s", plan.ref.folder, "; ".join(change[:200] for change in changes[:5])
        )


def executed_or_cached(store: ArtifactStore, refs: Mapping[str, Sequence[ArtifactRef]]) -> dict[str, str]:
    """Say of each stage whether this run did any of its work: `executed` or `cached`."""
    return {
        stage: "executed" if any(store.manifest(ref).made_by == store.made_by for ref in made) else "cached"
        for stage, made in refs.items()
    }


def stage_keys(refs: Mapping[str, Sequence[ArtifactRef]]) -> dict[str, str]:
    """The key of each stage: its artifact's, or, where it has one a shard, the digest of what they share."""
    return {stage: made[0].group or made[0].key for stage, made in refs.items()}


def stage_folders(store: ArtifactStore, refs: Mapping[str, Sequence[ArtifactRef]]) -> dict[str, Path]:
    """The folder of each stage: its artifact's, or the one that holds the artifacts of its shards."""
    return {stage: store.path(made[0]).parent if made[0].group else store.path(made[0]) for stage, made in refs.items()}
