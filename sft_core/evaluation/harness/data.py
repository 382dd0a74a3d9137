"""Data of a task, pinned before anything is loaded.

dataset_path: cais/mmlu                                     the commit that its revision points at now
dataset_path: json, data_files: {test: questions.jsonl}     the bytes of the files
dataset_path: json, data_files: hf://datasets/o/n/x.jsonl   the commit, and the files as they are in it
dataset_path: ./questions                                   the bytes of the folder's files
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from sft_core.errors import RecipeError
from sft_core.evaluation.harness.definitions import PLACE
from sft_core.pretrained.hub import download_data_files, looks_like_repo, resolve_commit
from sft_core.store.file_digests import FileDigests

PLACES = ("data_files", "data_dir", "revision", "trust_remote_code")
"""Arguments of `load_dataset` that are only paths, or have no effect; keys contain the content of the data instead."""
_COMMIT = re.compile(r"[0-9a-f]{40}")


class TaskData(BaseModel):
    """A task's data, identified by content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str | None
    """Data set on the Hub, or name of the file reader; None for a folder."""
    commit: str | None = None
    """Commit of data on the Hub; None for local files."""
    files: dict[str, tuple[str, ...]] = {}
    """Split → digest of each file; for files on the Hub, their pattern, commit and name instead."""
    dataset_kwargs: dict[str, Any] = {}
    """Arguments of `load_dataset`, with commits instead of branches, and absolute paths of files."""

    def fingerprint(self) -> dict[str, Any]:
        """Return the content; arguments with paths are not part of it."""
        return self.model_dump(exclude={"dataset_kwargs"})


def locate_data(name: str, task: Mapping[str, Any], digests: FileDigests) -> TaskData:
    """Find a task's data and pin it. Only single files are downloaded from the Hub; whole data sets are not.

    Args:
        name: Name of the task.
        task: Configuration of the task.
        digests: Cache of file digests.

    Raises:
        RecipeError: if the data does not exist, or has no version that can be pinned.
    """
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES as READERS

    path, what = task.get("dataset_path"), f"{PLACE}.tasks: '{name}'"
    asked = {key: value for key, value in (task.get("dataset_kwargs") or {}).items() if key != "trust_remote_code"}
    if not path:
        raise RecipeError(f"{what} names no data: expected `dataset_path`")
    if path in READERS:
        return _of_files(what, path, asked, digests)
    folder = Path(path).expanduser()
    if folder.exists():
        files = [folder] if folder.is_file() else [file for file in sorted(folder.rglob("*")) if file.is_file()]
        names = [file.relative_to(folder).as_posix() for file in files]  # file names determine the splits
        known = [f"{name} {found}" for name, found in zip(names, digests.of_files(files), strict=True)]
        return TaskData(source=None, files={"all": tuple(known)}, dataset_kwargs=asked)
    if not looks_like_repo(path):
        raise RecipeError(f"{what}: expected data at '{path}', found none (looked for {folder.absolute()})")
    commit = _commit(what, path, asked.get("revision"))
    return TaskData(source=path, commit=commit, dataset_kwargs={**asked, "revision": commit})


def _commit(what: str, repo: str, revision: str | None) -> str:
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    try:
        return resolve_commit(repo, revision, "dataset")
    except RecipeError as error:
        raise RecipeError(f"{what}: {error}") from error


def _of_files(what: str, reader: str, asked: dict[str, Any], digests: FileDigests) -> TaskData:
    by_split = asked.get("data_files")
    if by_split is None:
        raise RecipeError(f"{what}: expected `dataset_kwargs.data_files` with the files that '{reader}' is to read")
    patterns = by_split if isinstance(by_split, Mapping) else {"train": by_split}
    folder = Path(asked.get("data_dir") or ".").expanduser()
    found, known, commits = dict[str, list[str]](), dict[str, tuple[str, ...]](), set[str]()
    for split, of_split in patterns.items():
        found[split], known[split] = [], ()
        for pattern in [of_split] if isinstance(of_split, str) else of_split:
            commit, files = _files(what, pattern, folder)
            found[split] += map(str, files)
            known[split] += tuple(
                [f"{pattern} {commit} {file.name}" for file in files] if commit else digests.of_files(files)
            )
            commits |= {commit} if commit else set()
    kwargs = {**{key: value for key, value in asked.items() if key not in PLACES}, "data_files": found}
    return TaskData(source=reader, commit=", ".join(sorted(commits)) or None, files=known, dataset_kwargs=kwargs)


def _files(what: str, pattern: str, folder: Path) -> tuple[str | None, list[Path]]:
    """Return the commit, if a pattern is of files on the Hub, and the local files that match."""
    if pattern.startswith("hf://"):
        return download_data_files(pattern)
    if "://" in pattern:
        raise RecipeError(f"{what}: the version of {pattern} cannot be pinned; download it and name the local file")
    place = (folder / Path(pattern).expanduser()).absolute()
    files = [file for file in sorted(Path(place.anchor).glob(str(place.relative_to(place.anchor)))) if file.is_file()]
    if not files:
        raise RecipeError(f"{what}: expected a file at '{pattern}', found none (looked for {place})")
    return None, files
