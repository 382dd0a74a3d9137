"""The files of a logged model, stored once.

Where MLflow keeps artifacts in a folder on the file system of the trained model, the files get a second name there, a
hard link, and no second copy. That is safe because neither side writes into a file that is there: the artifact store
makes folders anew and renames them, MLflow only adds and deletes. Deleting one name, by whichever side, leaves the
other and its bytes; the space is free once both are gone. Anywhere else the files are copied or uploaded, one by one.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Set
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModel

from sft_core.errors import StageFailedError
from tasks.tracking.addresses import local_path


def local_folder(model: LoggedModel) -> Path | None:
    """Where a logged model's files lie on this machine; None if they are kept elsewhere."""
    return local_path(str(model.artifact_location))


def store_folder(client: MlflowClient, model: LoggedModel, folder: Path, below: str, left_out: Set[str]) -> None:
    """Store a folder's files with a logged model; those that an earlier attempt has stored are not sent again.

    Args:
        client: Of the store.
        model: Whose they become.
        folder: What to store.
        below: The folder's name there.
        left_out: Files of it, by their path in it, that something else takes the place of.
    """
    location = local_folder(model)
    if location is not None and link_folder(folder, location / below, left_out):
        return
    stored = dict(_stored(client, model.model_id, below))
    if not stored:  # all at once, because MLflow then sends several at a time
        client.log_model_artifacts(model.model_id, str(folder), below)
        return
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        if name not in left_out and stored.get(f"{below}/{name}") != file.stat().st_size:
            client.log_model_artifact(model.model_id, str(file), f"{below}/{name}".rpartition("/")[0])


def link_folder(folder: Path, target: Path, left_out: Set[str]) -> bool:
    """Give all files of a folder a second name below another.

    Returns:
        Whether it was possible; if not, nothing of it is left.
    """
    try:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = file.relative_to(folder)
            if name.as_posix() not in left_out:
                _link(file.resolve(), target / name)
    except OSError:  # another file system, or one without links
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
    """Make sure that all files arrived in a store elsewhere, by their sizes.

    Args:
        client: Of the store.
        model_id: Whose files they are.
        folders: Folder there → folder here; of two files for one place, that of the last folder counts.

    Raises:
        StageFailedError: naming the first file that is missing or of another size.
    """
    expected = {
        (Path(below) / file.relative_to(folder)).as_posix(): file.stat().st_size
        for below, folder in folders.items()
        for file in folder.rglob("*")
        if file.is_file()
    }
    found = dict(_stored(client, model_id, None))
    for name, num_bytes in expected.items():
        if found.get(name) != num_bytes:
            has = f"{found[name]:,}" if name in found else "none"
            raise StageFailedError(f"{model_id}: expected {num_bytes:,} bytes of {name} in MLflow's store, found {has}")


def _stored(client: MlflowClient, model_id: str, path: str | None) -> Iterator[tuple[str, int]]:
    for item in client.list_logged_model_artifacts(model_id, path):
        if item.is_dir:
            yield from _stored(client, model_id, item.path)
        else:
            yield item.path, int(item.file_size)
