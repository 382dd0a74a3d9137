"""A new database of Prefect's is the one that its migrations would make."""

import importlib.metadata
import sqlite3
from pathlib import Path

import pytest

from deployments.stack.prefect_database import DATABASE, SCHEMA, make_database, migrated_schema, schema_of, version_of


def test_a_database_is_made_once_and_one_that_is_there_is_left_alone(tmp_path: Path) -> None:
    assert make_database(tmp_path)
    with sqlite3.connect(tmp_path / DATABASE) as database:
        database.execute("INSERT INTO alembic_version VALUES ('mine')")
    assert not make_database(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [DATABASE]
    with sqlite3.connect(tmp_path / DATABASE) as database:
        assert ("mine",) in database.execute("SELECT version_num FROM alembic_version").fetchall()


def test_what_is_made_is_what_is_written(tmp_path: Path) -> None:
    make_database(tmp_path)
    written, made = SCHEMA.read_text(), schema_of(tmp_path / DATABASE)
    assert made.splitlines()[1:] == written.splitlines()[1:]


def test_an_older_prefect_makes_its_database_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "3.4.25")
    assert not make_database(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_migrations_of_the_installed_prefect_lead_to_the_same_schema() -> None:
    written = SCHEMA.read_text()
    if version_of(written) == importlib.metadata.version("prefect"):
        assert migrated_schema() == written, "run: python -m deployments.stack.prefect_database"
