"""A stage, and the one runner of all stages.

A stage is a function that takes its inputs and *describes* the work: it returns `Work`, a function with its arguments,
which fills the folder of an artifact. The work is done only if the artifact does not exist in the store:

    @stage()
    def pack_shards(config: PackingConfig, tokens: Sequence[ArtifactRef], context: RunContext) -> Work:
        return Work(pack, (config, [context.store.path(ref) for ref in tokens]))

    pack_shards(config, tokens, context)   →   ArtifactRef

    @stage(per="rendered")
    def tokenize_chats(config: TokensConfig, rendered: Sequence[ArtifactRef], context: RunContext) -> list[Work]:
        return [Work(tokenize, (config, …)) for ref in rendered]

    tokenize_chats(config, rendered, context)  →   [ArtifactRef, …], one for each shard

A stage with `per` makes one artifact for each item of that input, each under a key of its own. Only the items whose
artifacts are missing are passed to the function, and their work is done in parallel.

The key of an artifact digests the stage's name, the code that the function can reach (`sft_core.store.closure`), the
versions of the libraries that this code imports, and the inputs by content. Inputs that only decide where the work is
done (`Placement`: the store, the workers, the MLflow run) are not part of the key.

Inside a Prefect flow, a stage runs as a Prefect task (`tasks.stages.caching`); outside of one it runs as a plain
function, and Prefect is not even imported.
"""

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from sft_core.store.artifact import ArtifactRef, ArtifactStore, Manifest, Plan, plan_artifact, plan_shards
from sft_core.store.closure import Closure, changed_definitions, keep_listing, library_versions, own_code
from sft_core.store.fingerprint import Placement, explain_difference
from sft_core.store.records import StageOutcome
from tasks.context import is_in_flow
from tasks.processes.deadlines import time_limit
from tasks.progress import logger
from tasks.progress.preparing import ShardProgress
from tasks.stages.planning import StagePlan, is_looking, note
from tasks.stages.run_context import RunContext
from tasks.workers.work import Work

PLACEMENT = "It decides whether work has to be done; the stages define the work."
P = ParamSpec("P")
Made = TypeVar("Made", ArtifactRef, list[ArtifactRef])
Inputs = Mapping[str, Any]
CHANGES_SHOWN, CHANGE_CHARS = 5, 200


class Stage(Generic[P, Made]):
    """Step of the pipeline whose results are stored and reused."""

    def __init__(
        self,
        describe: Callable[P, Work | Sequence[Work]],
        per: str | None = None,
        needs_gpu: bool = False,
        asks_for: Callable[[Inputs], Iterable[str]] | None = None,
        readers: Iterable[str] = (),
        is_read_by_none: bool = False,
    ) -> None:
        """Create a stage from a function; the decorator `stage` has the same arguments and describes them."""
        functools.update_wrapper(self, describe)
        self.name, self.per = describe.__name__, per
        self.signature = inspect.signature(describe)
        self.definition = f"{describe.__module__}:{describe.__name__}"
        """The definition at which the closure of its code begins."""
        self._describe, self._needs_gpu, self._asks_for = describe, needs_gpu, asks_for
        self._readers, self._is_read_by_none = frozenset(readers), is_read_by_none

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Made:
        """Return the artifacts for the given inputs; those that do not exist are made."""
        if is_looking():
            return self._look(self.bound(*args, **kwargs))
        if is_in_flow():
            from tasks.stages.caching import task_of

            made: Any = task_of(self)(*args, **kwargs)
            return cast(Made, made)
        return self.run(*args, **kwargs)

    def _look(self, inputs: Inputs) -> Made:
        """Return the artifacts, and add the stage's plan to that of the run.

        Raises:
            NotMadeError: if artifacts are missing that other stages read.
        """
        store = context_of(inputs).store
        plans = self.plans(inputs)
        found = [store.find(plan.ref) for plan in plans]
        note(self.outlook(store, plans, found), self._is_read_by_none)
        refs = [made.ref if made else plan.ref for made, plan in zip(found, plans, strict=True)]
        return cast(Made, refs if self.per else refs[0])

    def outlook(self, store: ArtifactStore, plans: Sequence[Plan], found: Sequence[Manifest | None]) -> StagePlan:
        """Return whether the stage would be reused or run, and why.

        Args:
            store: The store with its artifacts.
            plans: The plans of all its artifacts.
            found: The manifest of each artifact, in the same order; None for those that do not exist.
        """
        missing = [plan for plan, manifest in zip(plans, found, strict=True) if manifest is None]
        if not missing:
            proof = found[0].accepted if found[0] else None
            return StagePlan(self.name, "reused", len(plans), accepted=proof["how"] if proof else None)
        earlier = store.newest_like(missing[0].ref)
        changes = [] if earlier is None else self._difference(store, missing[0], earlier)
        took = [manifest.seconds for manifest in found if manifest] or ([earlier.seconds] if earlier else [])
        seconds = sum(took) / len(took) * len(missing) if took else None
        return StagePlan(self.name, "run", len(plans), len(missing), changes, earlier is None, seconds)

    def run(self, *args: P.args, **kwargs: P.kwargs) -> Made:
        """Return the artifacts for the given inputs without using Prefect; those that do not exist are made."""
        inputs = self.bound(*args, **kwargs)
        store = context_of(inputs).store
        plans = self.plans(inputs)
        found = [store.use(plan.ref) for plan in plans]
        missing = [index for index, manifest in enumerate(found) if manifest is None]
        if missing and self.name in store.accept_code:
            self._accept(inputs, [plans[index] for index in missing], missing)
            found = [manifest or store.use(plan.ref) for manifest, plan in zip(found, plans, strict=True)]
            missing = [index for index, manifest in enumerate(found) if manifest is None]
        if missing:
            keep_listing(store.code_folder, self.closure)
            self._log_misses(store, [plans[index] for index in missing], len(plans))
            self._make(inputs, plans, missing)
        refs = [made.ref if made else store.manifest(plan.ref).ref for made, plan in zip(found, plans, strict=True)]
        return cast(Made, refs if self.per else refs[0])

    def _make(self, inputs: Inputs, plans: Sequence[Plan], missing: Sequence[int]) -> None:
        if self.per is None:
            self._make_alone(inputs, plans[0])
            return
        context = context_of(inputs)
        works = self._works(inputs, missing)
        planned = [plans[index] for index in missing]
        progress = ShardProgress(self.name, context.store, planned, len(plans))
        with time_limit(self.name, context.store.time_limits.get(self.name)):
            context.workers.build(context.store, list(zip(planned, works, strict=True)), progress.update)

    def _make_alone(self, inputs: Inputs, plan: Plan) -> None:
        store = context_of(inputs).store
        (work,) = self._works(inputs, [0])

        def fill(folder: Path) -> StageOutcome:
            with self._slots(inputs), time_limit(self.name, store.time_limits.get(self.name)):
                return work.fill(store, plan, folder)

        store.build(plan, fill)

    def _works(self, inputs: Inputs, positions: Sequence[int]) -> list[Work]:
        """Return the work for the artifacts at the given positions."""
        if self.per is not None:
            inputs = {**inputs, self.per: [inputs[self.per][index] for index in positions]}
        works = self._describe(**inputs)  # type: ignore[call-arg]
        return [works] if isinstance(works, Work) else list(works)

    def _accept(self, inputs: Inputs, plans: Sequence[Plan], positions: Sequence[int]) -> None:
        from tasks.stages.accepting import accept

        store = context_of(inputs).store
        keep_listing(store.code_folder, self.closure)
        with self._slots(inputs):
            accept(self.name, store, plans, lambda chosen: self._works(inputs, [positions[index] for index in chosen]))

    def _slots(self, inputs: Inputs) -> Any:
        if not (self._needs_gpu and is_in_flow()):
            return nullcontext()
        from tasks.processes.slots import gpu_slots

        return gpu_slots(self.name, context_of(inputs).processes.gpus_here)

    def bound(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        """Return all inputs by name, including the defaults of those that are not given."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def plans(self, inputs: Inputs) -> list[Plan]:
        """Return the plans of the artifacts that the stage makes from its inputs: one, or one for each shard."""
        closure = self.closure
        asked_for = self._asks_for(inputs) if self._asks_for else ()
        identity = {name: value for name, value in inputs.items() if not isinstance(value, Placement)}
        payload = {
            "code": closure.digest,
            "libraries": library_versions(set(closure.libraries) - self._readers, asked_for),
            "inputs": {name: value for name, value in identity.items() if name != self.per},
        }
        if self.per is None:
            behind = [ref for value in inputs.values() for ref in getattr(value, "behind", ())]
            return [plan_artifact(self.name, _name_of(identity.values()), payload, behind)]
        return plan_shards(self.name, payload, [(shard.name, shard) for shard in inputs[self.per]])

    @property
    def closure(self) -> Closure:
        """The code that the stage can reach, as it is in the files now."""
        return own_code().closure(self.definition)

    def changes(self, store: ArtifactStore, plan: Plan) -> list[str] | None:
        """Compare a key with that of the newest artifact of the same stage and name.

        Returns:
            A line for each difference; None if there is no such artifact.
        """
        earlier = store.newest_like(plan.ref)
        return None if earlier is None else self._difference(store, plan, earlier)

    def _difference(self, store: ArtifactStore, plan: Plan, earlier: Manifest) -> list[str]:
        fields: list[str] = explain_difference(plan.payload, earlier.payload)
        code: list[str] | None = changed_definitions(store.code_folder, earlier.payload["code"], self.closure)
        if code is None:  # the listing of the earlier code is gone: only the digests can be compared
            return fields
        return [f"code: {line}" for line in code] + [field for field in fields if not field.startswith("code: ")]

    def _log_misses(self, store: ArtifactStore, missing: Sequence[Plan], num_planned: int) -> None:
        changes = self.changes(store, missing[0])
        if changes:
            shown = "; ".join(change[:CHANGE_CHARS] for change in changes[:CHANGES_SHOWN])
            logger().info("%s is made again; changed: %s", missing[0].ref.folder, shown)
        if self.per is not None:
            logger().info("%d of %d shards have to be made", len(missing), num_planned)


@overload
def stage(
    *,
    needs_gpu: bool = False,
    asks_for: Callable[[Inputs], Iterable[str]] | None = None,
    readers: Iterable[str] = (),
    is_read_by_none: bool = False,
) -> Callable[[Callable[P, Work]], Stage[P, ArtifactRef]]: ...
@overload
def stage(*, per: str) -> Callable[[Callable[P, Sequence[Work]]], Stage[P, list[ArtifactRef]]]: ...
def stage(
    *,
    per: str | None = None,
    needs_gpu: bool = False,
    asks_for: Callable[[Inputs], Iterable[str]] | None = None,
    readers: Iterable[str] = (),
    is_read_by_none: bool = False,
) -> Callable[..., Any]:
    """Create a stage from a function that describes work.

    Args:
        per: Name of the input that holds the shards; the function then returns one `Work` for each of them.
        needs_gpu: True to hold GPU slots (`tasks.processes.slots`) during the work, one for each GPU that the
            `processes` of the run context use on this machine.
        asks_for: Called with the inputs; returns the module names of the optional libraries that they need.
        readers: Libraries that the stage uses only to read the output of other stages. Another version reads the same
            values, so they are not in its key.
        is_read_by_none: True if no other stage reads what this one writes.
    """
    return lambda describe: Stage(describe, per, needs_gpu, asks_for, readers, is_read_by_none)


def context_of(inputs: Inputs) -> RunContext:
    """Return the run context among a stage's inputs."""
    context: RunContext = inputs["context"]
    return context


def _name_of(values: Iterable[Any]) -> str:
    """Return the name of an artifact: that of the first input that has one, without a shard's number."""
    for value in values:
        first = value[0] if isinstance(value, list | tuple) and value else value
        name = getattr(first, "name", None)
        if isinstance(name, str):
            return without_number(name)
    return "artifact"


def without_number(shard: str) -> str:
    """Return the source in the name of a shard: `gsm8k` for `gsm8k-00003`."""
    return re.sub(r"-\d{5}$", "", shard)
