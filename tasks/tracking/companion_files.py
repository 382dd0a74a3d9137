"""Access to a single file of a logged model, without downloading its weights."""

from pathlib import Path

from mlflow import MlflowClient, artifacts
from mlflow.exceptions import MlflowException

from tasks.tracking.model_files import local_folder

RECIPE_FILE = "recipe.yaml"


def companion_file(client: MlflowClient, model_id: str, name: str, downloads: Path) -> Path | None:
    """Find a file among the artifacts of a logged model, and download it if it is not on this machine.

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
