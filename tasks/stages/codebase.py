"""The project's own code, as this process runs it."""

import functools
from pathlib import Path

from sft_core.processes.runtime import STAGES as ALL_STAGES
from sft_core.store.closure import library_versions, own_code
from sft_core.store.fingerprint import digest

PLACEMENT = "It decides keys, and computes nothing that is stored."
PROJECT = Path(__file__).parents[2]
STAGES = tuple(stage for stage in ALL_STAGES if stage not in ("report_data", "measure_model", "register_model"))
"""The stages that decide what a model is and how good it is found to be."""


@functools.cache
def pipeline_code() -> str:
    """Digest the code that all `STAGES` can reach, and the versions of the libraries that it imports."""
    closures = [own_code().closure(definition_of(stage)) for stage in STAGES]
    libraries = library_versions({name for closure in closures for name in closure.libraries})
    return digest([libraries, [closure.digest for closure in closures]])


def definition_of(stage: str) -> str:
    """Where the closure of a stage begins: each stage is the function of its file's name."""
    return f"tasks.{stage}:{stage}"
