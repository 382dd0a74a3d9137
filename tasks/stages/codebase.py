"""The project's own code, as this process runs it."""

import functools
from pathlib import Path

from sft_core.processes.runtime import STAGES as ALL_STAGES
from sft_core.store.closure import library_versions, own_code
from sft_core.store.fingerprint import digest

PLACEMENT = "It decides keys, and computes nothing that is stored."
PROJECT = Path(__file__).parents[2]
STAGES = tuple(stage for stage in ALL_STAGES if stage not in ("report_data", "register_model"))
"""The stages that affect the model or its scores."""


@functools.cache
def pipeline_code() -> str:
    """Return a digest of the code that all `STAGES` can reach and of the versions of the libraries that it imports."""
    closures = [own_code().closure(definition_of(stage)) for stage in STAGES]
    libraries = library_versions({name for closure in closures for name in closure.libraries})
    return digest([libraries, [closure.digest for closure in closures]])


def definition_of(stage: str) -> str:
    """Return the definition at which the closure of a stage begins: the function with the same name as its module."""
    return f"tasks.{stage}:{stage}"
