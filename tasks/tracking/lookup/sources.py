"""Search of the runs that read a file, by the content of the file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sft_core.data.sources.source_files import SourceFile
from sft_core.errors import RecipeError
from sft_core.store.file_digests import FileDigests
from tasks.tracking.lookup.history import History, RunFacts, SourceFacts
from tasks.tracking.tags import SOURCE, SOURCES_DIGEST, SOURCES_FILE, SOURCES_LISTED, TAG_CHARS

MANY = f"tags.`{SOURCES_LISTED}` = 'some'"


@dataclass(frozen=True, slots=True)
class FileUse:
    """Use of a file by one run."""

    run: RunFacts
    source: str
    file: str
    """Name of the file in the run."""
    path: str
    """Path of the file when the run read it."""
    digest: str
    split: str | None
    """Split that the recipe assigns to the whole source; None if each row's content decides."""
    has_same_bytes: bool
    """False if the run read other bytes at this path."""


def digest_of(history: History, path: Path) -> str:
    """Return the digest of a file's bytes, in the form that runs record.

    Raises:
        RecipeError: if there is no such file.
    """
    if not path.is_file():
        raise RecipeError(f"expected a file at '{path}', found none: runs are searched by the content of the file")
    return FileDigests.below(history.home).of_file(path)


def uses_of(history: History, digest: str, path: Path | None) -> list[FileUse]:
    """Return all runs that read a file, newest first; if no run read these bytes, those that read others at its path.

    Args:
        history: The MLflow store.
        digest: Digest of the file's bytes.
        path: Path of the file; None searches only by the bytes.
    """
    listed = history.runs(f"dataset.digest = '{digest}' AND dataset.context = '{SOURCE}'")
    uses = [_use(run, source, True) for run in listed for source in run.sources if source.digest == digest]
    lists = list(_lists(history))
    uses += _uses_in_lists(lists, lambda file: file.digest == digest, has_same_bytes=True)
    if not uses and path is not None:
        place = str(path.absolute())
        runs = history.runs()
        uses = [_use(run, source, False) for run in runs for source in run.sources if source.path == place[-TAG_CHARS:]]
        uses += _uses_in_lists(lists, lambda file: file.path == place, has_same_bytes=False)
    return sorted(
        {(use.run.run_id, use.source, use.file): use for use in uses}.values(), key=lambda use: -use.run.started
    )


def recorded_files(history: History, run: RunFacts) -> list[SourceFile]:
    """Return all source files of a run, from its inputs, or from `sources.json` if a source has too many files."""
    if run.tags.get(SOURCES_LISTED) == "all":
        return [
            SourceFile(source.source, source.file, source.path, source.num_bytes, source.digest)
            for source in run.sources
        ]
    listed = history.json(run.run_id, SOURCES_FILE)
    return [] if listed is None else [SourceFile(**file) for file in listed["files"]]


def _lists(history: History) -> Iterator[tuple[list[RunFacts], list[SourceFile]]]:
    """Yield runs that have a source with too many files to be inputs, with their files.

    Runs over the same bytes are yielded together, and their common `sources.json` is read once.
    """
    by_sources: dict[str, list[RunFacts]] = {}
    for run in history.runs(MANY):
        by_sources.setdefault(run.tags[SOURCES_DIGEST], []).append(run)
    for runs in by_sources.values():
        yield runs, recorded_files(history, runs[0])


def _uses_in_lists(
    lists: list[tuple[list[RunFacts], list[SourceFile]]], is_meant: Callable[[SourceFile], bool], has_same_bytes: bool
) -> Iterator[FileUse]:
    for runs, files in lists:
        meant = [file for file in files if is_meant(file)]
        for run in runs:
            splits = {source.source: source.split for source in run.sources}
            for file in meant:
                split = splits.get(file.source)
                yield FileUse(run, file.source, file.file, file.path, file.digest, split, has_same_bytes)


def _use(run: RunFacts, source: SourceFacts, has_same_bytes: bool) -> FileUse:
    return FileUse(run, source.source, source.file, source.path, source.digest, source.split, has_same_bytes)
