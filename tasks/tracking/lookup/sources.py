"""From the bytes of a file to the runs that read them."""

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
    """One run that read a file."""

    run: RunFacts
    source: str
    file: str
    """Its name in the run."""
    path: str
    """Where it lay then."""
    digest: str
    split: str | None
    """Which the recipe gives to the whole source; None: each row's content decides."""
    has_same_bytes: bool
    """False: the run read other bytes at this path."""


def digest_of(history: History, path: Path) -> str:
    """The digest of a file's bytes, as runs carry it.

    Raises:
        RecipeError: if there is no such file.
    """
    if not path.is_file():
        raise RecipeError(f"expected a file at '{path}', found none: it is looked for by its bytes, wherever it lies")
    return FileDigests.below(history.home).of_file(path)


def uses_of(history: History, digest: str, path: Path | None) -> list[FileUse]:
    """All runs that read a file, newest first; if none read these bytes, those that read others at this path.

    Args:
        history: Where to look.
        digest: Of the file's bytes.
        path: Where it lies; None: look for the bytes alone.
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
    """All source files of a run: those that are inputs, or, where a source has too many, those of its list."""
    if run.tags.get(SOURCES_LISTED) == "all":
        return [
            SourceFile(source.source, source.file, source.path, source.num_bytes, source.digest)
            for source in run.sources
        ]
    listed = history.json(run.run_id, SOURCES_FILE)
    return [] if listed is None else [SourceFile(**file) for file in listed["files"]]


def _lists(history: History) -> Iterator[tuple[list[RunFacts], list[SourceFile]]]:
    """Runs with a source of too many files to be inputs, and their files; runs over the same bytes share a list, which
    is read once."""
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
