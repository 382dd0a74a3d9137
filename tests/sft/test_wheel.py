"""A wheel has everything that code reads, so that the quickstart and `sft up` need no checkout."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

PROJECT = Path(__file__).parents[2]
ONLY_IN_A_CHECKOUT = (
    "deployments/Dockerfile*",
    "deployments/compose*",
    "deployments/*-pool.json",
    "deployments/schedules.yaml",
    "recipes/vision_quickstart/*",
    "*.pyc",
)
"""Files that no code reads, and files that belong to one team or one machine."""


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files in a wheel that is built from a copy of the tree."""
    tree = tmp_path_factory.mktemp("tree")
    for package in packages():
        shutil.copytree(PROJECT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(PROJECT / name, tree / name)
    build = "from setuptools.build_meta import build_wheel; build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=tree, capture_output=True, check=True)
    (wheel,) = tree.glob("sft-*.whl")
    with ZipFile(wheel) as opened:
        return set(opened.namelist())


def packages() -> list[str]:
    """The packages at the top of the tree that are installed."""
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    return [name for name in settings["tool"]["setuptools"]["packages"]["find"]["include"] if "." not in name]


def test_every_file_of_the_packages_is_in_the_wheel(names: set[str]) -> None:
    files = [file for package in packages() for file in (PROJECT / package).rglob("*") if file.is_file()]
    paths = [file.relative_to(PROJECT) for file in files]
    expected = {path.as_posix() for path in paths if not any(path.match(pattern) for pattern in ONLY_IN_A_CHECKOUT)}
    assert expected - names == set()


def test_the_wheel_has_the_quickstart_where_it_is_copied_from(names: set[str]) -> None:
    assert {"sft/_quickstart.py", "recipes/quickstart.yaml", "recipes/quickstart/chats.jsonl"} <= names
