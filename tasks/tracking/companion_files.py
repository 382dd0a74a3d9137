"""One file beside a logged model's weights, without the weights."""

from pathlib import Path

from mlflow import MlflowClient, artifacts
from mlflow.exceptions import MlflowException

from tasks.tracking.model_files import local_folder

RECIPE_FILE = "recipe.yaml"


def companion_file(client: MlflowClient, model_id: str, name: str, downloads: Path) -> Path | None:
    """Find a file that lies beside a model.

    Args:
        client: Of the store that knows it.
        model_id: The logged model.
        name: The file's.
        downloads: Where it is brought to if it does not lie on this machine.

    Returns:
        None if there is no such file, or no such model any more.
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
    # an address models:/<id>/<file> is one of a registered model to MLflow
    return Path(artifacts.download_artifacts(artifact_uri=f"{model.artifact_location}/{name}", dst_path=str(folder)))
