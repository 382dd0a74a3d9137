"""Checkpoints that exist whole or not at all, and the way back to one.

    checkpoints/checkpoint-30/     weights, optimizer, scheduler, and of every process its random numbers and counters
    checkpoints/checkpoint-30/checkpoint.json     written last: the step, and each file with its size
    checkpoints/unfinished/        what is being written

A checkpoint is written aside, flushed to the disk, listed, and renamed. One without a list, or with a file that is
missing or short, is as if it was not there. What was reported after it is cut off before training goes on, so that an
interrupted training leaves the same lines as one that never was.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from sft_core.store.durable import flush, write_durably

CHECKPOINTS_FOLDER = "checkpoints"
UNFINISHED = "unfinished"
CHECKPOINT_FILE = "checkpoint.json"
JOURNALS = "*.jsonl"
"""Files beside the checkpoints that only ever grow: metrics, and samples of answers."""


class CheckpointManifest(BaseModel):
    """What a checkpoint is, and that it is whole."""

    step: int
    """Optimizer steps that were done."""
    num_processes: int
    is_last: bool
    """Whether training ends here, so that nothing but its results is missing."""
    seconds: float
    """Of training so far, over all processes that took part one after the other."""
    journals: dict[str, int]
    """Bytes of each journal up to this step."""
    files: dict[str, int]
    """Bytes of each file, by its path in the checkpoint."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole checkpoint."""

    folder: Path
    manifest: CheckpointManifest


def checkpoint_name(step: int) -> str:
    """What the Trainer calls the checkpoint of a step."""
    return f"checkpoint-{step}"


def counters_file(process: int) -> str:
    """The file of a checkpoint with what one process has counted."""
    return f"counters-{process}.json"


def journal_bytes(output_folder: Path) -> dict[str, int]:
    """Bring all journals to the disk, and measure them."""
    journals = sorted(output_folder.glob(JOURNALS))
    for journal in journals:
        flush(journal)
    return {journal.name: journal.stat().st_size for journal in journals}


def seal(
    aside: Path, final: Path, *, num_processes: int, is_last: bool, seconds: float, journals: dict[str, int]
) -> None:
    """Make what all processes have written aside a checkpoint.

    Args:
        aside: Its folder in `unfinished`, where it lies as long as it is not whole.
        final: Its folder, `…/checkpoint-<step>`; what lies there is no whole checkpoint, and is removed.
        num_processes: That wrote it.
        is_last: Whether training ends here.
        seconds: Of training so far.
        journals: Bytes of each, as `journal_bytes` has measured them.
    """
    files = sorted(file for file in aside.rglob("*") if file.is_file())
    for file in files:
        flush(file)
    manifest = CheckpointManifest(
        step=int(final.name.rpartition("-")[2]),
        num_processes=num_processes,
        is_last=is_last,
        seconds=seconds,
        journals=journals,
        files={file.relative_to(aside).as_posix(): file.stat().st_size for file in files},
    )
    write_durably(aside / CHECKPOINT_FILE, manifest.model_dump_json(indent=1).encode())
    for folder in {aside, *(file.parent for file in files)}:
        flush(folder)
    shutil.rmtree(final, ignore_errors=True)
    aside.rename(final)
    flush(final.parent)
    shutil.rmtree(aside.parent, ignore_errors=True)


def newest_checkpoint(output_folder: Path) -> Checkpoint | None:
    """Find the whole checkpoint with the most steps."""
    return max(whole_checkpoints(output_folder), key=lambda one: one.manifest.step, default=None)


def whole_checkpoints(output_folder: Path) -> list[Checkpoint]:
    """Find all whole checkpoints, first steps first."""
    found = [_read(folder) for folder in (output_folder / CHECKPOINTS_FOLDER).glob(checkpoint_name(0)[:-1] + "*")]
    return sorted((checkpoint for checkpoint in found if checkpoint), key=lambda one: one.manifest.step)


def rewind(output_folder: Path) -> Checkpoint | None:
    """Bring the folder of a training back to its newest checkpoint: what was written after it is removed.

    Without a checkpoint, training starts anew with nothing reported.
    """
    checkpoint = newest_checkpoint(output_folder)
    shutil.rmtree(output_folder / CHECKPOINTS_FOLDER / UNFINISHED, ignore_errors=True)
    kept = checkpoint.manifest.journals if checkpoint else {}
    for journal in output_folder.glob(JOURNALS):
        if journal.name in kept:
            os.truncate(journal, kept[journal.name])
        else:
            journal.unlink()
    return checkpoint


def _read(folder: Path) -> Checkpoint | None:
    """Read a checkpoint if it is whole, and the journals have not lost what it counts on."""
    try:
        manifest = CheckpointManifest.model_validate_json((folder / CHECKPOINT_FILE).read_bytes())
        sizes = {folder / path: num_bytes for path, num_bytes in manifest.files.items()}
        is_whole = all(path.stat().st_size == num_bytes for path, num_bytes in sizes.items())
        journals = {folder.parent.parent / name: num_bytes for name, num_bytes in manifest.journals.items()}
        is_told = all(path.stat().st_size >= num_bytes for path, num_bytes in journals.items())
    except (OSError, ValidationError):
        return None
    return Checkpoint(folder, manifest) if is_whole and is_told else None
