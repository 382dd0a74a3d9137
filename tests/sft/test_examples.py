"""The examples in docstrings of the public functions and in `docs/python.md`, with one short run of the quickstart."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.prefect_servers import OUTSIDE
from tests.warm import warm_python

PROJECT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.e2e]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    """The examples, run in an empty folder by a process that has imported nothing; its subprocesses are forked."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OUTSIDE)}
    words = [Path(__file__).with_name("examples.py"), warm_python(), PROJECT / "docs" / "python.md"]
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=tmp_path_factory.mktemp("notebook"),
        env={**clean, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=1800,
    )


@pytest.fixture(scope="module")
def result(done: "subprocess.CompletedProcess[str]") -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr.splitlines()[-1])


def test_every_function_has_an_example_that_holds(result: Any) -> None:
    assert result["missing"] == []
    assert result["failed"] == {}


def test_the_example_of_the_page_runs_and_reuses_what_the_functions_have_made(result: Any) -> None:
    assert set(result["stages"].values()) == {"cached"}
    assert "models:/quickstart/1" in result["printed"]
    assert "20 steps" in result["printed"]


def test_the_folder_of_a_model_shows_the_rows_that_it_was_trained_on(result: Any) -> None:
    assert result["rows"] == ["chats"] * 3


def test_nothing_is_written_to_standard_output(done: "subprocess.CompletedProcess[str]") -> None:
    assert done.stdout == ""
