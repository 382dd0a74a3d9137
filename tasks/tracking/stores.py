"""Choice of the MLflow store: the server in `MLFLOW_TRACKING_URI`, else the database in the state directory."""

import os
from pathlib import Path

import mlflow
from mlflow import MlflowClient

from sft_core.errors import RecipeError

DATABASE = "mlflow.db"


def tracking_uri_of(home: Path) -> str:
    """Return the address of the MLflow store that belongs to a state directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / DATABASE}"


def store_behind(uri: str) -> str:
    """Return the name of a store, which does not change while the store exists.

    A store can have several addresses: the database of a state directory is the same store behind a server on any port.
    The process that starts such a server sets the name of the store in `SFT_TRACKING_STORE` for its clients. For other
    servers, the name is the address.
    """
    return os.environ.get("SFT_TRACKING_STORE") or uri


def open_client(home: Path) -> MlflowClient:
    """Open an existing store; nothing is created.

    Raises:
        RecipeError: if no server is named and the state directory has no database.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI") and not (home / DATABASE).is_file():
        raise RecipeError(
            f"expected an MLflow server in MLFLOW_TRACKING_URI, or runs of this machine in {home / DATABASE}; found "
            "neither. Run the command in the folder in which `sft run` was called, or set SFT_HOME"
        )
    return connect(tracking_uri_of(home))


def connect(uri: str) -> MlflowClient:
    """Return a client, and set the global tracking URI, by which MLflow's registry and downloads look models up."""
    mlflow.set_tracking_uri(uri)
    return MlflowClient(uri)
