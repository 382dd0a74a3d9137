"""The evidence by row that lies beside a logged model."""

from pathlib import Path
from urllib.parse import unquote, urlparse

import pyarrow as pa
from mlflow import MlflowClient, artifacts
from mlflow.exceptions import MlflowException

from sft_core.tables import read_table

SCORED_ITEMS_FILE = "scored_items.arrow"


def read_scored_items(client: MlflowClient, model_id: str, downloads: Path) -> pa.Table | None:
    """Read `SCORED_ITEMS` of a model, without its weights.

    Args:
        client: Of the store that knows it.
        model_id: The logged model.
        downloads: Where the file is brought to if it does not lie on this machine.

    Returns:
        None if there is no such file, or no such model any more.
    """
    try:
        location = urlparse(str(client.get_logged_model(model_id).artifact_location))
        if location.scheme in ("file", ""):
            file = Path(unquote(location.path)) / SCORED_ITEMS_FILE
            return read_table(file) if file.exists() else None
        if SCORED_ITEMS_FILE not in {item.path for item in client.list_logged_model_artifacts(model_id)}:
            return None
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    folder = downloads / model_id
    folder.mkdir(parents=True, exist_ok=True)
    uri = f"models:/{model_id}/{SCORED_ITEMS_FILE}"
    return read_table(Path(artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder))))
