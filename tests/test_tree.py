"""Rules about the tree itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGES = ("sft_core", "tasks", "flows", "deployments", "sft", "sft_cli")
MAX_LINES = 400


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (PROJECT / package).rglob("*.py"))


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_only_the_tracking_package_imports_mlflow() -> None:
    importers = {
        path.relative_to(PROJECT).as_posix()
        for path in sources()
        for name in imported_modules(path)
        if name.split(".")[0] == "mlflow"
    }
    assert importers
    assert all(importer.startswith("tasks/tracking/") for importer in importers), importers


def test_the_core_does_not_read_the_environment_or_print() -> None:
    for path in (PROJECT / "sft_core").rglob("*.py"):
        source = path.read_text()
        assert "environ" not in source.replace("environment", ""), path
        assert "print(" not in source.replace("fingerprint(", "").replace("format_exc", ""), path


@pytest.mark.parametrize(
    "path",
    [*sources(), *sorted((PROJECT / "tests").rglob("*.py"))],
    ids=lambda path: path.relative_to(PROJECT).as_posix(),
)
def test_no_file_is_longer_than_a_person_reads(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


def test_every_task_file_holds_the_task_of_its_name() -> None:
    stages = [path.stem for path in (PROJECT / "tasks").glob("[a-z]*_*.py")]
    assert sorted(stages) == sorted(
        [
            "detect_formats",
            "evaluate_model",
            "gather_images",
            "ingest_sources",
            "pack_shards",
            "promote_version",
            "register_model",
            "remove_unneeded",
            "render_chats",
            "report_data",
            "roll_back_version",
            "tokenize_chats",
            "train_model",
        ]
    )
    for stage in stages:
        tree = ast.parse((PROJECT / "tasks" / f"{stage}.py").read_text())
        decorated = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list]
        assert decorated == [stage]
