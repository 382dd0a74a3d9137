"""An MLflow store on SQLite that has its tables: MLflow takes seconds to make them in a new file, by 60 migrations."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from tasks.tracking import Tracker


def open_sqlite(folder: Path, home: str = "") -> Tracker:
    """Open the store of a folder, which is made if it is not there.

    Args:
        folder: Artifacts are below it.
        home: Where the database is, below the folder.
    """
    file = folder / home / "mlflow.db"
    if not file.exists():
        write_fresh_mlflow(file)
    return Tracker(f"sqlite:///{file}", "sft", folder / "artifacts")


def write_fresh_mlflow(file: Path) -> None:
    """Write the database of a store that nothing was logged to yet.

    Args:
        file: Must not exist; its folder is made if it is missing.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("xb") as written:
        written.write(_empty_store())


@functools.cache
def _empty_store() -> bytes:
    """The bytes of the file, made by MLflow itself once in each process."""
    from mlflow import MlflowClient

    folder = Path(tempfile.mkdtemp(prefix="sft-mlflow-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return (folder / "mlflow.db").read_bytes()
