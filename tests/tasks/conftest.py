"""MLflow as the tests of tracking use it: a sqlite file, and a server over PostgreSQL."""

from collections.abc import Iterator

import pytest

from tasks.tracking import Tracker
from tests.fresh_mlflow import open_sqlite
from tests.mlflow_servers import mlflow_server
from tests.postgres import postgres


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server over PostgreSQL, one for the session."""
    with postgres() as database, mlflow_server(tmp_path_factory.mktemp("postgres-mlflow"), database) as server:
        yield server.uri


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def tracker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    """An experiment of the module's own."""
    if request.param == "postgres":
        return Tracker(request.getfixturevalue("postgres_server"), request.module.__name__, artifact_root=None)
    folder = tmp_path_factory.mktemp("mlflow")
    return open_sqlite(folder)
