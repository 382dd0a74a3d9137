"""The project's own code, as this process runs it."""

import functools
from pathlib import Path

from sft_core.store.closure import library_versions, own_code
from sft_core.store.fingerprint import digest
from sft_core.store.stages import EVALUATE_MODEL, PACK_SHARDS, SHARD_STAGES, TRAIN_MODEL

PLACEMENT = "It decides keys, and computes nothing that is stored."
PROJECT = Path(__file__).parents[2]
SCORED_STAGES = (*SHARD_STAGES, PACK_SHARDS, TRAIN_MODEL, EVALUATE_MODEL)
"""The stages that affect the model or its scores."""


@functools.cache
def pipeline_code() -> str:
    """Return a digest of the code that `SCORED_STAGES` can reach and of the versions of the libraries it imports."""
    closures = [own_code().closure(definition_of(stage)) for stage in SCORED_STAGES]
    libraries = library_versions({name for closure in closures for name in closure.libraries})
    return digest([libraries, [closure.digest for closure in closures]])


def definition_of(stage: str) -> str:
    """Return the definition at which the closure of a stage begins: the function with the same name as its module."""
    return f"tasks.{stage}:{stage}"
