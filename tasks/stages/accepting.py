"""Reuse results of earlier code for the present code, after a proof that the present code gives the same results.

If nothing changed in a key but code or the version of a library, and the change should not affect the result, the
result need not be made again: `runtime.accept_code: [train_model]`, or `--accept-code train_model`. This is verified
first:

- a data stage makes a sample of its shards again, and their content has to be equal;
- the first steps of a training are repeated, and losses, gradient norms and all other recorded numbers have to be
  equal: bit for bit on a CPU, within `GPU_TOLERANCE` on a GPU, where sums have no fixed order.

The proof is stored in the new manifest. If anything differs, the run stops with an error that names the difference.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sft_core.errors import RecipeError
from sft_core.store.artifact import ArtifactStore, Manifest, Plan
from sft_core.store.fingerprint import digest
from tasks.progress import tell
from tasks.workers.work import Work

PLACEMENT = "It reuses results that are proven to be the same."
CODE_FIELDS = frozenset({"code", "libraries"})
SAMPLED_SHARDS = 3
REPLAYED_STEPS = 20
GPU_TOLERANCE = 1e-3
"""Largest relative difference of a recorded number."""
CLOCK = frozenset({"time", "tokens_per_second", "peak_memory_gb", "mfu"})
"""Fields of a line of metrics that depend on time and on the machine, and are not compared."""


def accept(
    stage: str, store: ArtifactStore, plans: Sequence[Plan], works: Callable[[Sequence[int]], list[Work]]
) -> None:
    """Reuse the results that earlier code made for missing artifacts, if there are any.

    Args:
        stage: Name of the stage.
        store: The store with the results.
        plans: Plans of the missing artifacts.
        works: Called with positions in `plans`; returns the work of each.

    Raises:
        RecipeError: if the present code gives another result.
    """
    by_identity = {_without_code(found.payload): found for found in store.manifests(stage)}
    twins = [(index, by_identity.get(_without_code(plan.payload))) for index, plan in enumerate(plans)]
    pairs = [(index, earlier) for index, earlier in twins if earlier is not None]
    if not pairs:
        return
    step = max(1, len(pairs) // SAMPLED_SHARDS)
    sample = pairs[::step][:SAMPLED_SHARDS]
    proofs = [
        _prove(stage, store, plans[index], earlier, work)
        for (index, earlier), work in zip(sample, works([index for index, _ in sample]), strict=True)
    ]
    proof = {**proofs[0], "compared": len(sample), "of": len(pairs)}
    for index, earlier in pairs:
        store.adopt(plans[index], earlier, {**proof, "made_as": earlier.ref.key})
    tell(f"{stage}: {len(pairs):,} results of earlier code are kept; the present code gives the same ({proof['how']})")


def _without_code(payload: Mapping[str, Any]) -> str:
    return digest({name: value for name, value in payload.items() if name not in CODE_FIELDS})


def _prove(stage: str, store: ArtifactStore, plan: Plan, earlier: Manifest, work: Work) -> dict[str, Any]:
    with TemporaryDirectory(prefix="accept-", dir=store.root) as folder:
        if work.replay is not None:
            return work.replay(store.path(earlier.ref), Path(folder))
        scratch = ArtifactStore(root=Path(folder))
        again = scratch.manifest(scratch.build(plan, lambda target: work.fill(scratch, plan, target)))
    if again.ref.content != earlier.ref.content:
        differs = ", ".join(_differences(earlier, again)) or "the facts of its manifest"
        raise RecipeError(
            f"--accept-code {stage}: expected the same {earlier.ref.name} as from the earlier code, found "
            f"different content ({differs}): without this option the stage runs again"
        )
    return {"how": "equal content"}


def _differences(earlier: Manifest, again: Manifest) -> list[str]:
    before, now = ({file.path: file.digest for file in one.files} for one in (earlier, again))
    return sorted(path for path in {*before, *now} if before.get(path) != now.get(path))


def steps_to_replay(recorded: Sequence[Mapping[str, Any]]) -> int:
    """Return the last step to replay: `REPLAYED_STEPS`, or the first step with a recorded loss if that is later.

    A shorter training is replayed up to its last step with a recorded loss.

    Raises:
        RecipeError: if no loss was recorded that could be compared.
    """
    steps = sorted({int(line["step"]) for line in recorded if "loss" in line})
    if not steps:
        raise RecipeError("--accept-code train_model: the training recorded no loss to compare with; train again")
    return max(REPLAYED_STEPS, steps[0]) if steps[-1] > REPLAYED_STEPS else steps[-1]


def compare_lines(recorded: Iterable[Mapping[str, Any]], replayed: Iterable[Mapping[str, Any]], is_exact: bool) -> int:
    """Compare the metrics that two trainings recorded.

    Args:
        recorded: Lines of the earlier training, up to the last step that was replayed.
        replayed: Lines of the replay.
        is_exact: True requires numbers to be equal bit for bit; False allows a difference of `GPU_TOLERANCE`.

    Returns:
        The number of lines that were compared.

    Raises:
        RecipeError: if they differ; the message names the first step and metric that do.
    """
    count = 0
    for before, now in zip(recorded, replayed, strict=True):
        count += 1
        for name in sorted({*before, *now} - CLOCK):
            if not _is_same(before.get(name), now.get(name), is_exact):
                raise RecipeError(
                    f"--accept-code train_model: step {before['step']}: {name} was {before.get(name)!r} with the "
                    f"earlier code, and is {now.get(name)!r} with the present code: without this option the model is "
                    "trained again"
                )
    return count


def _is_same(before: Any, now: Any, is_exact: bool) -> bool:
    if is_exact or not isinstance(before, float) or not isinstance(now, float):
        return bool(before == now)
    return abs(before - now) <= GPU_TOLERANCE * max(abs(before), abs(now))
