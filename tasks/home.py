"""Where state lives: one folder for artifacts, locks, logs and the default databases."""

import functools
import os
from pathlib import Path
from uuid import uuid4

from sft_core.pretrained.tokenizer import remember_contents_in
from sft_core.processes.runtime import RuntimeConfig
from sft_core.processes.subprocesses import end_with_parent
from sft_core.store.artifact import ArtifactStore
from sft_core.store.closure import own_code
from sft_core.store.file_digests import FileDigests
from sft_core.store.occupancy import announce
from tasks.context import current_flow_run

PLACEMENT = "It says where the state is."
STARTED_BY_WORKER = "PREFECT__FLOW_RUN_ID"
"""What a worker leaves in the environment of a flow run's process."""


def is_by_worker() -> bool:
    """Whether a Prefect worker started this process for a flow run, and will kill it 30 s after a cancellation."""
    return STARTED_BY_WORKER in os.environ


def open_store(runtime: RuntimeConfig) -> ArtifactStore:
    """Open the artifact store for the rest of this process, which keeps `sft prune` from what it may need; what is made
    through it bears the outermost flow run's id, or, outside of a flow run, one of this process.

    A flow run's process that a worker started is asked to end when its worker dies: nobody could cancel it any more.
    """
    if is_by_worker():
        end_with_parent()
    store = ArtifactStore(
        root=runtime.home_folder(os.environ),
        made_by=_maker(),
        time_limits=runtime.stage_timeouts,
        accept_code=runtime.accept_code,
    )
    own_code().remember_in(store.code_folder)
    remember_contents_in(store.root / "tokenizers")
    announce(store.root)
    store.sweep()
    return store


@functools.cache
def _command_id() -> str:
    return f"command-{uuid4().hex}"


def _maker() -> str:
    """The id of the outermost flow run; without one, of this process."""
    flow_run = current_flow_run()
    return str(flow_run.root_flow_run_id) if flow_run else _command_id()


def file_digests(store: ArtifactStore) -> FileDigests:
    """The remembered digests of input files."""
    return FileDigests.below(store.root)


def log_file(store: ArtifactStore, stage: str, name: str) -> Path:
    """Where a subprocess of a stage writes what it prints."""
    folder = store.root / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{stage}-{name}-{(store.made_by or 'none')[:8]}.log"
