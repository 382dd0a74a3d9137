"""Storage of a logged model's files, without a second copy where possible.

If MLflow keeps its artifacts in a folder on the same file system as the trained model, the files are hard-linked there
and not copied. This is safe because neither side writes into an existing file: the artifact store creates folders anew
and renames them, and MLflow only adds and deletes files. If either side deletes its link, the file stays under the
other one; the space is freed once both are deleted. In all other cases the files are copied or uploaded.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Set
from pathlib import Path

from mlflow import MlflowClient, artifacts
from mlflow.entities import LoggedModel
from mlflow.exceptions import MlflowException

from sft_core.errors import StageFailedError
from tasks.tracking.addresses import local_path

RECIPE_FILE = "recipe.yaml"
"""Name of the file with the recipe, in a run and in a logged model."""


def local_folder(model: LoggedModel) -> Path | None:
    """Return the folder with a logged model's files on this machine; None if they are in a remote store."""
    return local_path(str(model.artifact_location))


def companion_file(client: MlflowClient, model_id: str, name: str, downloads: Path) -> Path | None:
    """Find a single file of a logged model, and download it if it is not on this machine.

    Args:
        client: Client of the store with the model.
        model_id: Id of the logged model.
        name: Name of the file.
        downloads: Folder for downloads.

    Returns:
        The local path; None if there is no such file, or if the model was deleted.
    """
    try:
        model = client.get_logged_model(model_id)
        here = local_folder(model)
        if here is not None:
            return here / name if (here / name).exists() else None
        if name not in {item.path for item in client.list_logged_model_artifacts(model_id)}:
            return None
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    folder = downloads / model_id
    folder.mkdir(parents=True, exist_ok=True)
    # MLflow would read models:/<id>/<file> as the address of a registered model
    return Path(artifacts.download_artifacts(artifact_uri=f"{model.artifact_location}/{name}", dst_path=str(folder)))


def store_folder(client: MlflowClient, model: LoggedModel, folder: Path, below: str, left_out: Set[str]) -> None:
    """Store a folder's files with a logged model; those that an earlier attempt has stored are not sent again.

    Args:
        client: Client of the store.
        model: The logged model.
        folder: The folder with the files.
        below: Name of the folder within the logged model.
        left_out: Paths, relative to the folder, of files that are skipped because other files replace them.
    """
    location = local_folder(model)
    if location is not None and link_folder(folder, location / below, left_out):
        return
    stored = dict(_stored(client, model.model_id, below))
    if not stored:  # in one call, because MLflow then uploads several files in parallel
        client.log_model_artifacts(model.model_id, str(folder), below)
        return
    for name, file in _files(folder):
        if name not in left_out and stored.get(f"{below}/{name}") != file.stat().st_size:
            client.log_model_artifact(model.model_id, str(file), f"{below}/{name}".rpartition("/")[0])


def link_folder(folder: Path, target: Path, left_out: Set[str]) -> bool:
    """Hard-link all files of a folder into another folder.

    Args:
        folder: The folder with the files.
        target: The folder for the links.
        left_out: Paths, relative to the folder, of files that are skipped.

    Returns:
        True if all links were made; if links are not possible, the target folder is removed.
    """
    try:
        for name, file in _files(folder):
            if name not in left_out:
                _link(file.resolve(), target / name)
    except OSError:  # another file system, or one without hard links
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(target)
        return False
    return True


def _link(file: Path, target: Path) -> None:
    if target.exists() and target.samefile(file):  # from an earlier attempt
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(file, target)


def check_stored(client: MlflowClient, model_id: str, folders: dict[str, Path]) -> None:
    """Check by their sizes that all files arrived in a remote store.

    Args:
        client: Client of the store.
        model_id: Id of the logged model.
        folders: Folder in the store → local folder; if two folders have a file with the same path, the last one counts.

    Raises:
        StageFailedError: if a file is missing or has another size; the message names the first one.
    """
    expected = {
        (Path(below) / name).as_posix(): file.stat().st_size
        for below, folder in folders.items()
        for name, file in _files(folder)
    }
    found = dict(_stored(client, model_id, None))
    for name, num_bytes in expected.items():
        if found.get(name) != num_bytes:
            has = f"{found[name]:,}" if name in found else "none"
            raise StageFailedError(f"{model_id}: expected {num_bytes:,} bytes of {name} in MLflow's store, found {has}")


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Return all files below a folder, each with its relative path."""
    return [(path.relative_to(folder).as_posix(), path) for path in sorted(folder.rglob("*")) if path.is_file()]


def _stored(client: MlflowClient, model_id: str, path: str | None) -> Iterator[tuple[str, int]]:
    for item in client.list_logged_model_artifacts(model_id, path):
        if item.is_dir:
            yield from _stored(client, model_id, item.path)
        else:
            yield item.path, int(item.file_size)
