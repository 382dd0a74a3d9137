"""What a run says about its stages at the end: which of them did work, their keys and their folders."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sft_core.store.artifact import ArtifactRef, ArtifactStore

PLACEMENT = "It says what was done."

Made = Mapping[str, Sequence[ArtifactRef]]
"""Stage → its artifacts."""


def executed_or_cached(store: ArtifactStore, made: Made) -> dict[str, str]:
    """Say of each stage whether this run did any of its work, or would have to: `executed` or `cached`."""

    def is_new(ref: ArtifactRef) -> bool:
        manifest = store.find(ref)
        return manifest is None or manifest.made_by == store.made_by

    return {stage: "executed" if any(map(is_new, refs)) else "cached" for stage, refs in made.items()}


def accepted(store: ArtifactStore, made: Made) -> dict[str, str]:
    """Stage → the proof by which results of earlier code were kept, in words; only stages that have such."""
    proofs = {stage: store.manifest(refs[0]).accepted for stage, refs in made.items()}
    return {stage: f"{proof['how']}; made as {proof['made_as']}" for stage, proof in proofs.items() if proof}


def stage_keys(made: Made) -> dict[str, str]:
    """The key of each stage: its artifact's, or, where it has one a shard, the digest of what they share."""
    return {stage: refs[0].group or refs[0].key for stage, refs in made.items()}


def stage_folders(store: ArtifactStore, made: Made) -> dict[str, Path]:
    """The folder of each stage: its artifact's, or the one that holds the artifacts of its shards."""
    return {stage: store.path(refs[0]).parent if refs[0].group else store.path(refs[0]) for stage, refs in made.items()}
