"""Checkpoints that are either complete or ignored, and the return of a training's folder to one of them.

    checkpoints/checkpoint-30/     weights, optimizer, scheduler, and random states and counters of every process
    checkpoints/checkpoint-30/checkpoint.json     manifest, written last: the step, and each file with its size
    checkpoints/unfinished/        checkpoint that is being written

A checkpoint is written to `unfinished`, flushed to the disk, given a manifest, and renamed. A checkpoint without a
manifest, or with a file that is missing or too short, is ignored. Lines that were reported after a checkpoint are cut
off before training resumes from it, so that an interrupted training leaves the same lines as one without interruption.
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
"""Pattern of the append-only files next to the checkpoints: metrics, and samples of answers."""


class CheckpointManifest(BaseModel):
    """Content of `checkpoint.json`, which describes a checkpoint and serves to check that it is complete."""

    step: int
    """Number of optimizer steps done."""
    num_processes: int
    is_last: bool
    """True if training ends with this step, so that only its results are still to be written."""
    seconds: float
    """Seconds of training so far, including those before interruptions."""
    journals: dict[str, int]
    """Name of each journal → its bytes up to this step."""
    files: dict[str, int]
    """Path of each file in the checkpoint → its bytes."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint."""

    folder: Path
    manifest: CheckpointManifest


def checkpoint_name(step: int) -> str:
    """Return the Trainer's folder name for the checkpoint of a step."""
    return f"checkpoint-{step}"


def counters_file(process: int) -> str:
    """Return the name of the checkpoint file with the counts of one process."""
    return f"counters-{process}.json"


def journal_bytes(output_folder: Path) -> dict[str, int]:
    """Flush all journals to the disk, and return {name: bytes}."""
    journals = sorted(output_folder.glob(JOURNALS))
    for journal in journals:
        flush(journal)
    return {journal.name: journal.stat().st_size for journal in journals}


def seal(
    aside: Path, final: Path, *, num_processes: int, is_last: bool, seconds: float, journals: dict[str, int]
) -> None:
    """Turn the files that all processes have written into a complete checkpoint.

    Args:
        aside: Folder in `unfinished` with the files.
        final: Folder of the checkpoint, `…/checkpoint-<step>`. If it exists, it is an incomplete checkpoint and is
            removed.
        num_processes: Number of processes that wrote the files.
        is_last: Whether training ends with this step.
        seconds: Seconds of training so far.
        journals: Bytes of each journal, from `journal_bytes`.
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
    """Return the complete checkpoint with the most steps, or None."""
    return max(whole_checkpoints(output_folder), key=lambda one: one.manifest.step, default=None)


def whole_checkpoints(output_folder: Path) -> list[Checkpoint]:
    """Return all complete checkpoints, ordered by step."""
    found = [_read(folder) for folder in (output_folder / CHECKPOINTS_FOLDER).glob(checkpoint_name(0)[:-1] + "*")]
    return sorted((checkpoint for checkpoint in found if checkpoint), key=lambda one: one.manifest.step)


def rewind(output_folder: Path) -> Checkpoint | None:
    """Return the folder of a training to its newest complete checkpoint: remove everything that was written after it.

    Without a checkpoint, all journals are removed, and training starts from the beginning.

    Returns:
        The checkpoint, or None.
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
    """Return a checkpoint if it is complete and the journals are at least as long as its manifest says, else None."""
    try:
        manifest = CheckpointManifest.model_validate_json((folder / CHECKPOINT_FILE).read_bytes())
        sizes = {folder / path: num_bytes for path, num_bytes in manifest.files.items()}
        is_whole = all(path.stat().st_size == num_bytes for path, num_bytes in sizes.items())
        journals = {folder.parent.parent / name: num_bytes for name, num_bytes in manifest.journals.items()}
        is_reported = all(path.stat().st_size >= num_bytes for path, num_bytes in journals.items())
    except (OSError, ValidationError):
        return None
    return Checkpoint(folder, manifest) if is_whole and is_reported else None
