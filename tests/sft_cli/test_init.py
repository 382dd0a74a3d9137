"""The quickstart is copied to a folder, and what a person has edited there stays."""

from pathlib import Path

from typer.testing import CliRunner

from sft_cli.main import app


def test_the_quickstart_is_copied_and_an_edited_recipe_is_kept(tmp_path: Path) -> None:
    first = CliRunner().invoke(app, ["init", str(tmp_path / "new")])
    assert first.exit_code == 0, first.output
    recipe = tmp_path / "new" / "recipes" / "quickstart.yaml"
    assert (recipe.parent / "quickstart" / "chats.jsonl").is_file()

    recipe.write_text("name: mine\n")
    assert CliRunner().invoke(app, ["init", str(tmp_path / "new")]).exit_code == 0
    assert recipe.read_text() == "name: mine\n"
