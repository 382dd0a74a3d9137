"""Search of a model by a reference: a folder, a run's id, or an address in MLflow."""

from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient, artifacts
from mlflow.entities import LoggedModel
from mlflow.exceptions import MlflowException

from sft_core.errors import RecipeError
from tasks.tracking.addresses import model_id_of, parse_model
from tasks.tracking.model_files import local_folder
from tasks.tracking.outbox import is_outage
from tasks.tracking.stores import open_client

CHECKPOINT_TAG = "path"
"""Tag with the path of a checkpoint that is logged to MLflow without being copied."""
EXPECTED = "expected a model's folder, a run's id, `models:/NAME@ALIAS`, `models:/NAME/VERSION`, or `models:/MODEL_ID`"


@dataclass(frozen=True, slots=True)
class FoundModel:
    """Model that was found by a reference, with its ids in MLflow."""

    folder: Path
    """Folder with weights, configuration and tokenizer that `from_pretrained` can load."""
    model_id: str | None
    """Id of the logged model; None for a plain folder."""
    run_id: str | None
    """Id of the run that made the model; None if it is not known."""


def open_model(reference: str, home: Path) -> FoundModel:
    """Find a model by a reference: a folder is used directly, and everything else is looked up in the MLflow store that
    `MLFLOW_TRACKING_URI` names, or else in that of the state directory.

    Args:
        reference: Reference to the model, as in `find_model`.
        home: The state directory.

    Raises:
        RecipeError: if there is no such model, or no MLflow store.
    """
    if (plain := _plain_folder(reference)) is not None:
        return plain
    return find_model(open_client(home), reference, home / "downloads")


def find_model(client: MlflowClient, reference: str, downloads: Path) -> FoundModel:
    """Find a model by a reference, and download it if it is not on this machine.

    Args:
        client: Client of the store with the model.
        reference: A folder (a model's, or a training's with `model/` in it), a run's id, or an address `models:/…`.
        downloads: Folder for downloads; a model that is already there is not downloaded again.

    Raises:
        RecipeError: if there is no such model.
    """
    if (plain := _plain_folder(reference)) is not None:
        return plain
    model = logged_model(client, reference)
    if CHECKPOINT_TAG in model.tags:
        return _checkpoint(model)
    return FoundModel(_local(model, downloads) / "model", str(model.model_id), model.source_run_id)


def _plain_folder(reference: str) -> FoundModel | None:
    path = Path(reference).expanduser()
    if not path.is_dir():
        return None
    folder = path / "model" if _is_model(path / "model") else path
    if not _is_model(folder):
        raise RecipeError(f"model '{reference}': {EXPECTED}; found a folder without config.json")
    return FoundModel(folder.resolve(), None, None)


def _is_model(folder: Path) -> bool:
    """Return True if the folder has a model, or an adapter that is stored without its base model."""
    return any((folder / name).exists() for name in ("config.json", "adapter_config.json"))


def _checkpoint(model: LoggedModel) -> FoundModel:
    folder = Path(model.tags[CHECKPOINT_TAG])
    if not _is_model(folder):
        raise RecipeError(f"model '{model.name}' ({model.model_id}): its checkpoint is no longer at {folder}")
    return FoundModel(folder, str(model.model_id), model.source_run_id)


def logged_model(client: MlflowClient, reference: str) -> LoggedModel:
    """Find the logged model of a run's id or of an address `models:/…`; for a run, its newest model.

    Raises:
        RecipeError: if there is no such model.
    """
    address = parse_model(reference)
    if address is None:
        raise RecipeError(f"model '{reference}': {EXPECTED}")
    try:
        if address.run_id:
            return _of_run(client, address.run_id)
        if address.model_id:
            return client.get_logged_model(address.model_id)
        if address.scheme and (address.alias or address.version):
            version = (
                client.get_model_version_by_alias(address.name, address.alias)
                if address.alias
                else client.get_model_version(address.name, address.version)
            )
            return client.get_logged_model(model_id_of(str(version.source)))
    except MlflowException as error:
        if is_outage(error):
            raise
        raise RecipeError(f"model '{reference}': not found in MLflow: {error.message}") from error
    raise RecipeError(f"model '{reference}': {EXPECTED}")


def _of_run(client: MlflowClient, run_id: str) -> LoggedModel:
    experiment = client.get_run(run_id).info.experiment_id
    order = [{"field_name": "creation_time", "ascending": False}]
    found = client.search_logged_models([experiment], f"source_run_id = '{run_id}'", order_by=order)
    ready = [model for model in found if model.status == "READY" and CHECKPOINT_TAG not in model.tags]
    if not ready:
        raise RecipeError(f"model '{run_id}': the run has logged no model")
    return ready[0]


def _local(model: LoggedModel, downloads: Path) -> Path:
    here = local_folder(model)
    if here is not None:
        return here
    target = downloads / str(model.model_id)
    if not (target / "MLmodel").exists():
        target.mkdir(parents=True, exist_ok=True)
        artifacts.download_artifacts(artifact_uri=f"models:/{model.model_id}", dst_path=str(target))
    return target
