"""Templates: loaded from the folder next to a module, strict, escaped where they are markup, and part of a wheel."""

import tomllib
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from sft_core.store.templates import templates_of

PROJECT = Path(__file__).parents[3]


@pytest.mark.parametrize(("kind", "shown"), [("html", "&lt;b&gt;"), ("svg", "&lt;b&gt;"), ("md", "<b>")])
def test_markup_is_escaped_and_markdown_is_not(tmp_path: Path, kind: str, shown: str) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / f"a.{kind}.jinja").write_text("{{ text }}\n")
    template = templates_of(str(tmp_path / "module.py")).get_template(f"a.{kind}.jinja")
    assert template.render(text="<b>") == f"{shown}\n"
    with pytest.raises(UndefinedError, match="'text' is undefined"):
        template.render()


def test_every_template_is_in_a_wheel() -> None:
    patterns = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packed = {
        file
        for package, names in patterns.items()
        for name in names
        for file in PROJECT.joinpath(*package.split(".")).glob(name)
    }
    templates = {
        file
        for package in ("sft_core", "tasks", "flows", "deployments", "sft_cli")
        for file in (PROJECT / package).glob("**/templates/*")
        if file.is_file() and file.suffix not in (".py", ".pyc")
    }
    assert templates
    assert templates <= packed
