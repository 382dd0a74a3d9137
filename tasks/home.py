"""The state directory: one folder for artifacts, locks, logs and the default databases."""

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

PLACEMENT = "It decides where the state is stored."
STARTED_BY_WORKER = "PREFECT__FLOW_RUN_ID"
"""Environment variable that a Prefect worker sets in the process of a flow run."""


def is_by_worker() -> bool:
    """Return True if a Prefect worker started this process for a flow run; it kills it 30 s after a cancellation."""
    return STARTED_BY_WORKER in os.environ


def open_store(runtime: RuntimeConfig) -> ArtifactStore:
    """Open the artifact store for the rest of this process, and mark it as in use, so that `sft prune` keeps what this
    process may need.

    Artifacts made through it carry the id of the outermost flow run, or, outside of a flow run, an id of this process.
    If a Prefect worker started this process, it is also set up to receive SIGTERM when the worker dies, since nobody
    could cancel the run then.
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
    flow_run = current_flow_run()
    return str(flow_run.root_flow_run_id) if flow_run else _command_id()


def file_digests(store: ArtifactStore) -> FileDigests:
    """Return the cache of input files' digests that is kept in the state directory."""
    return FileDigests.below(store.root)


def log_file(store: ArtifactStore, stage: str, name: str) -> Path:
    """Return the path of the log file to which a stage's subprocess writes its output."""
    folder = store.root / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{stage}-{name}-{(store.made_by or 'none')[:8]}.log"
