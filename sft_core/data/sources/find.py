"""Find the files of a source, whose path may be a file, a glob, a folder, a saved data set or a data set of the Hub."""

import glob
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from sft_core.data.sources.config import SourceSpec
from sft_core.data.sources.file_kind import format_of, known_endings
from sft_core.errors import DataError
from sft_core.pretrained.hub import download_data_files

METADATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
"""Names of files that `datasets` and the Hub store next to the data."""


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """Files of a source in order, and the folder that their names are relative to."""

    root: Path
    paths: tuple[Path, ...]
    commit: str | None = None
    """Commit of the data set, if it is from the Hub."""


def find_files(spec: SourceSpec) -> FoundFiles:
    """List a source's files.

    Raises:
        DataError: if no file is found.
        RecipeError: if the Hub does not have the data set, or has no such file.
    """
    if spec.path.startswith("hf://"):
        commit, paths = download_data_files(spec.path)
        return FoundFiles(_common_folder(paths), tuple(paths), commit)
    path = Path(spec.path).expanduser()
    if path.is_file():
        return FoundFiles(path.parent, (path,))
    if path.is_dir():
        return _find_in_folder(path, spec)
    return _find_by_glob(path, spec)


def _find_by_glob(pattern: Path, spec: SourceSpec) -> FoundFiles:
    found = sorted(Path(name) for name in glob.glob(str(pattern), recursive=True) if Path(name).is_file())  # noqa: PTH207
    if not found:
        raise DataError(
            f"sources: expected a file at '{spec.path}', found nothing there (looked for {pattern.absolute()})"
        )
    return FoundFiles(_common_folder(found), tuple(found))


def _common_folder(paths: list[Path]) -> Path:
    return Path(os.path.commonpath([path.parent for path in paths]))


def _find_in_folder(folder: Path, spec: SourceSpec) -> FoundFiles:
    if (folder / "dataset_dict.json").is_file():
        return _find_in_folder(_only_split(folder), spec)
    if (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file():
        return FoundFiles(folder, _saved_files(folder))
    visible = [path for path in sorted(folder.rglob("*")) if path.is_file() and _is_data(path.relative_to(folder))]
    found = _of_known_format(visible, spec)
    if not found:
        raise DataError(
            f"sources: expected data files below the folder '{spec.path}', found {len(visible)} files of other kinds; "
            f"known endings are {known_endings()}"
        )
    return FoundFiles(folder, tuple(found))


def _is_data(name: Path) -> bool:
    return name.name not in METADATA and not any(part.startswith((".", "_")) for part in name.parts)


def _of_known_format(paths: list[Path], spec: SourceSpec) -> list[Path]:
    """Choose the data files. Text files are used only if the recipe asks for them or there is nothing else, because
    next to other data they are notes."""
    if spec.file_format is not None:
        return [path for path in paths if format_of(path) == spec.file_format] or [
            path for path in paths if format_of(path) is None
        ]
    known = [path for path in paths if format_of(path) is not None]
    return [path for path in known if format_of(path) != "txt"] or known


def _only_split(folder: Path) -> Path:
    splits = _load(folder / "dataset_dict.json").get("splits") or []
    if len(splits) != 1:
        names = ", ".join(f"'{folder / name}'" for name in splits)
        raise DataError(f"sources: '{folder}' is a saved data set of several splits; name one as the path: {names}")
    return folder / str(splits[0])


def _saved_files(folder: Path) -> tuple[Path, ...]:
    state = _load(folder / "state.json")
    if state.get("_indices_files") or state.get("_indices_data_files"):
        raise DataError(
            f"sources: the data set saved in '{folder}' selects rows by an index; save it again after "
            "`dataset.flatten_indices()`"
        )
    paths = tuple(folder / entry["filename"] for entry in state.get("_data_files") or [])
    missing = [path for path in paths if not path.is_file()]
    if missing or not paths:
        raise DataError(
            f"sources: expected the Arrow files that {folder / 'state.json'} names, found no "
            f"{missing[0].name if missing else 'name'}; save the data set again"
        )
    return paths


def _load(path: Path) -> dict[str, Any]:
    try:
        content = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}: expected JSON as `datasets.save_to_disk` writes it, found: {error}") from error
    return content if isinstance(content, dict) else {}
