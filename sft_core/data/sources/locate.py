"""Turn a recipe's paths into pieces with digests. After this step, paths no longer matter; only the content of the data
does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sft_core.data.sources.config import SourceSpec
from sft_core.data.sources.file_kind import compression_of, format_of, known_endings
from sft_core.data.sources.find import find_files
from sft_core.data.sources.group import Group, group_files
from sft_core.data.sources.pieces import FilePiece, cut_file
from sft_core.data.transform import locate_transform
from sft_core.errors import DataError, RecipeError
from sft_core.store.file_digests import FileDigests, Remembered
from sft_core.store.records import FunctionRef


@dataclass(frozen=True, slots=True)
class LocatedSource:
    """Source whose files were found. Two of them are the same if their files hold the same bytes, whatever their
    paths."""

    spec: SourceSpec
    files: tuple[Path, ...]
    pieces: tuple[FilePiece | Group, ...]
    """Pieces of all files, in order. If the source has many files, small ones share a group."""
    commit: str | None = None
    """Commit of the data set, if it is from the Hub."""
    transform: FunctionRef | None = None

    @property
    def name(self) -> str:
        """Name of the source in the ledger and in traces."""
        return self.spec.source_name

    @property
    def image_folders(self) -> dict[str, Path | None]:
        """Name of a file → the folder with the images of its rows; None if there is no such folder."""
        chosen = Path(self.spec.image_folder).expanduser() if self.spec.image_folder else None
        members = (member for piece in self.pieces for member in piece.members)
        return {member.file: chosen or (None if self.commit else member.path.parent) for member in members}

    def fingerprint(self) -> dict[str, Any]:
        """Return everything but the paths. The content of images is added to keys where images are gathered."""
        spec = self.spec.model_dump(exclude={"path", "name", "file_format", "transform", "image_folder"})
        return {**spec, "name": self.name, "transform": self.transform, "pieces": self.pieces}


def locate_sources(specs: tuple[SourceSpec, ...], digests: FileDigests) -> tuple[LocatedSource, ...]:
    """Find each source's files, cut them into pieces and digest those.

    Raises:
        DataError: if a path matches no file, a file is empty, or a source turns out to have no rows.
        RecipeError: if the format of a file cannot be recognized by its name, two sources share a name, or a transform
            or a folder of images does not exist.
    """
    names = [spec.source_name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise RecipeError(f"sources: {names.count(name)} sources are called '{name}'; give each its own `name`")
    return tuple(_locate(spec, digests) for spec in specs)


def _locate(spec: SourceSpec, digests: FileDigests) -> LocatedSource:
    transform = locate_transform(spec.transform) if spec.transform else None
    if spec.image_folder and not Path(spec.image_folder).expanduser().is_dir():
        raise RecipeError(
            f"sources: expected a folder at `image_folder` '{spec.image_folder}' of source '{spec.source_name}', found "
            f"none (looked for {Path(spec.image_folder).expanduser().absolute()})"
        )
    found = find_files(spec)
    for path in found.paths:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty; expected at least one row")
    with digests.together() as known:
        pieces = group_files([_cut(path, found.root, spec, known) for path in found.paths])
    if not pieces:
        raise no_row_error(spec.source_name, found.paths)
    return LocatedSource(spec, found.paths, pieces, found.commit, transform)


def no_row_error(source: str, paths: tuple[Path, ...]) -> DataError:
    """Return the error for a source without rows, which names the files that were read."""
    named = ", ".join(str(path) for path in paths[:5])
    return DataError(f"source '{source}': no row in {named}{', …' if len(paths) > 5 else ''}")


def _cut(path: Path, root: Path, spec: SourceSpec, digests: Remembered) -> tuple[FilePiece, ...]:
    file_format = spec.file_format or format_of(path)
    if file_format is None:
        raise RecipeError(
            f"sources: cannot tell the format of '{path}' from its ending; expected one of {known_endings()}, or set "
            "`file_format`"
        )
    return cut_file(path, path.relative_to(root).as_posix(), spec, file_format, compression_of(path), digests)
