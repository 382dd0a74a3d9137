"""Which MLflow is asked: the server that `MLFLOW_TRACKING_URI` names, else the database in the home."""

import os
from pathlib import Path

import mlflow
from mlflow import MlflowClient

from sft_core.errors import RecipeError

DATABASE = "mlflow.db"


def tracking_uri_of(home: Path) -> str:
    """The address of the MLflow that belongs to a home."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / DATABASE}"


def store_behind(uri: str) -> str:
    """What a store is called as long as it lives.

    An address is only a way to it: the database of a home is the same store behind a server, on any port. Who starts
    such a server tells its callers the name of the store in `SFT_TRACKING_STORE`; of other servers it is the address.
    """
    return os.environ.get("SFT_TRACKING_STORE") or uri


def open_client(home: Path) -> MlflowClient:
    """Open a store that is there; nothing is made.

    Raises:
        RecipeError: if neither a server is named nor a database lies in the home.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI") and not (home / DATABASE).is_file():
        raise RecipeError(
            f"expected an MLflow server in MLFLOW_TRACKING_URI, or runs of this machine in {home / DATABASE}; found "
            "neither. Ask from the folder that `sft run` was called in, or set SFT_HOME"
        )
    return connect(tracking_uri_of(home))


def connect(uri: str) -> MlflowClient:
    """A client; the registry, and downloads, look models up through the global address, whatever the client's is."""
    mlflow.set_tracking_uri(uri)
    return MlflowClient(uri)
