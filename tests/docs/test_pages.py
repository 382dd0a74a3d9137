"""Pages say what the code says: the recipe reference is fresh, files that are named exist, commands and options are
documented."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from sft_cli.main import app
from sft_core.data.formats.dialects import DIALECTS
from sft_core.recipe.recipe_file import load_recipe

PROJECT = Path(__file__).parents[2]
PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").glob("*.md"), *(PROJECT / "benchmarks").glob("*.md")])


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_recipe_reference_is_fresh() -> None:
    generator = load(PROJECT / "docs" / "make_recipe_reference.py")
    assert generator.PAGE.read_text() == generator.recipe_reference(), "run: python docs/make_recipe_reference.py"


def test_every_file_of_the_readmes_tree_exists() -> None:
    tree = (PROJECT / "README.md").read_text().split("```text")[2].split("```")[0]
    folder = PROJECT
    for line in tree.strip().splitlines():
        name = line.split()[0]
        if line.startswith(" "):
            assert (folder / name).exists(), f"{folder / name} stands in the README's tree"
        else:
            folder = PROJECT / name if name.endswith("/") else PROJECT
            assert (PROJECT / name).exists(), f"{name} stands in the README's tree"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def commands_of(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """All commands by their whole names, those of groups too."""
    for name, command in group.commands.items():
        yield f"{before}{name}", command
        if hasattr(command, "commands"):
            yield from commands_of(command, f"{before}{name} ")


def test_every_command_and_option_is_documented() -> None:
    text = (PROJECT / "docs" / "command-line.md").read_text()
    for name, command in commands_of(typer.main.get_command(app)):
        assert f"`sft {name}" in text
        for parameter in command.params:
            for option in parameter.opts:
                assert option in text or not option.startswith("-"), (
                    f"sft {name} {option} is not in docs/command-line.md"
                )


@pytest.mark.parametrize("recipe", sorted((PROJECT / "recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_is_valid_and_opens_with_the_command_that_runs_it(recipe: Path) -> None:
    assert load_recipe(recipe).name == recipe.stem
    assert f"sft run recipes/{recipe.name}" in "".join(recipe.read_text().splitlines(keepends=True)[:4])


def test_every_format_and_its_columns_are_documented() -> None:
    page = (PROJECT / "docs" / "formats.md").read_text()
    for dialect in DIALECTS:
        (line,) = (line for line in page.splitlines() if line.startswith(f"| `{dialect.name}` |"))
        assert {f"`{name}`" for columns in dialect.columns for name in columns} <= set(re.findall("`[^`]+`", line))


def test_every_field_of_the_recipe_has_a_meaning() -> None:
    blank = [line for line in (PROJECT / "docs" / "recipe.md").read_text().splitlines() if line.endswith("|  |")]
    assert blank == []


def test_every_path_on_the_map_of_the_code_exists() -> None:
    page = (PROJECT / "docs" / "architecture.md").read_text()
    paths = re.findall(r"`((?:sft_core|tasks|flows|deployments|sft|tests)/[\w./-]*)`", page)
    assert len(paths) > 20
    for path in paths:
        assert (PROJECT / path).exists(), path
