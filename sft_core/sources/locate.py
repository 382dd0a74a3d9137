"""From a recipe's paths to files with digests: the last look at where data lies; from here on only its content
counts."""

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sft_core.errors import DataError, RecipeError
from sft_core.file_digests import FileDigests
from sft_core.hub import download_data_files
from sft_core.sources.config import FileFormat, SourceSpec

ENDINGS: dict[str, FileFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
    ".txt": "txt",
}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file to read."""

    path: Path
    digest: str
    file_format: FileFormat
    is_gzipped: bool


@dataclass(frozen=True, slots=True)
class LocatedSource:
    """A source whose files are known. Two of them are the same if their files hold the same bytes, wherever they
    lie."""

    spec: SourceSpec
    files: tuple[SourceFile, ...]
    commit: str | None = None
    """Of a Hub data set."""

    @property
    def name(self) -> str:
        """The name in ledger and traces."""
        return self.spec.source_name

    def fingerprint(self) -> dict[str, Any]:
        """All but the path."""
        spec = self.spec.model_dump(exclude={"path", "name", "file_format"})
        files = [[file.digest, file.file_format] for file in self.files]
        return {**spec, "name": self.name, "files": files}


def locate_sources(specs: tuple[SourceSpec, ...], digests: FileDigests) -> tuple[LocatedSource, ...]:
    """Find each source's files and digest them.

    Raises:
        DataError: if a path matches no file, or a file is empty.
        RecipeError: if two sources have one name, or a file's format cannot be told.
    """
    located = tuple(_locate(spec, digests) for spec in specs)
    names = [source.name for source in located]
    for name in names:
        if names.count(name) > 1:
            raise RecipeError(f"sources: {names.count(name)} sources are called '{name}'; give each its own `name`")
    return located


def _locate(spec: SourceSpec, digests: FileDigests) -> LocatedSource:
    commit, paths = download_data_files(spec.path) if spec.path.startswith("hf://") else (None, _local_files(spec.path))
    for path in paths:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty; expected at least one row")
    files = tuple(_describe(path, spec, digests) for path in paths)
    return LocatedSource(spec, files, commit)


def _local_files(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_file():
        return [path]
    found = sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())  # noqa: PTH207
    if not found:
        what = "a folder; name the files in it, for example with a glob" if path.is_dir() else "nothing there"
        raise DataError(f"sources: expected a file at '{pattern}', found {what} (looked for {path.absolute()})")
    return found


def _describe(path: Path, spec: SourceSpec, digests: FileDigests) -> SourceFile:
    is_gzipped = path.suffix == ".gz"
    ending = Path(path.stem).suffix if is_gzipped else path.suffix
    file_format = spec.file_format or ENDINGS.get(ending.lower())
    if file_format is None:
        raise RecipeError(
            f"sources: cannot tell the format of '{path}' from its ending; expected one of "
            f"{', '.join(sorted(ENDINGS))} (or with .gz), or set `file_format`"
        )
    return SourceFile(path, digests.of_file(path), file_format, is_gzipped)
