"""Summary of a run's stages: which of them did work, and their keys and folders."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sft_core.store.artifact import ArtifactRef, ArtifactStore

PLACEMENT = "It reports what was done."

Made = Mapping[str, Sequence[ArtifactRef]]
"""Stage → its artifacts."""


def executed_or_cached(store: ArtifactStore, made: Made) -> dict[str, str]:
    """Return stage → `executed` if this run did any of its work or an artifact is missing, else `cached`."""

    def is_new(ref: ArtifactRef) -> bool:
        manifest = store.find(ref)
        return manifest is None or manifest.made_by == store.made_by

    return {stage: "executed" if any(map(is_new, refs)) else "cached" for stage, refs in made.items()}


def accepted(store: ArtifactStore, made: Made) -> dict[str, str]:
    """Return stage → description of the proof, for the stages whose results of earlier code were accepted."""
    proofs = {stage: store.manifest(refs[0]).accepted for stage, refs in made.items()}
    return {stage: f"{proof['how']}; made as {proof['made_as']}" for stage, proof in proofs.items() if proof}


def stage_keys(made: Made) -> dict[str, str]:
    """Return stage → key of its artifact; for a stage with an artifact for each shard, the digest that they share."""
    return {stage: refs[0].group or refs[0].key for stage, refs in made.items()}


def stage_folders(store: ArtifactStore, made: Made) -> dict[str, Path]:
    """Return stage → folder of its artifact, or the folder that holds the artifacts of all its shards."""
    return {stage: store.path(refs[0]).parent if refs[0].group else store.path(refs[0]) for stage, refs in made.items()}
