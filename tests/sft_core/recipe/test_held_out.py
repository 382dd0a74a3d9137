"""Held-out rows for a model: what a recipe or a file gives."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sft_core.errors import RecipeError
from sft_core.recipe import Recipe
from sft_core.recipe.held_out import HeldOutRecipe, held_out_recipe
from tasks.tracking.provenance import recipe_params, run_key

NOTICES: list[str] = []


def of_data(*data: str, overrides: tuple[str, ...] = ()) -> HeldOutRecipe:
    return held_out_recipe("some/model", data, None, overrides, NOTICES.append)


def of_recipe(folder: Path, *overrides: str, **sections: Any) -> HeldOutRecipe:
    content = {"name": "sums", "model": {"path": "base", "tokenizer": "other"}, **sections}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    return held_out_recipe("some/model", [], folder / "recipe.yaml", overrides, NOTICES.append)


def test_all_rows_of_a_file_are_held_out_and_none_is_cut() -> None:
    recipe = of_data("data/new questions.jsonl", "more.csv", overrides=("evaluation.num_prompts=7",))
    assert recipe.name == "new-questions"
    assert [(source.path, source.split) for source in recipe.sources] == [
        ("data/new questions.jsonl", "eval"),
        ("more.csv", "eval"),
    ]
    assert recipe.tokens.max_length is None
    assert recipe.evaluation.num_prompts == 7


def test_only_the_eval_sources_of_a_recipe_are_read_where_it_has_any(tmp_path: Path) -> None:
    sources = [{"path": "a.jsonl"}, {"path": "b.jsonl", "split": "eval"}]
    recipe = of_recipe(tmp_path, sources=sources).for_model(tmp_path)
    assert [source.path for source in recipe.sources] == ["b.jsonl"]
    by_hash = of_recipe(tmp_path, sources=sources[:1], formats={"eval_fraction": 0.1}).for_model(tmp_path)
    assert [source.path for source in by_hash.sources] == ["a.jsonl"]


def test_a_recipe_of_eval_sources_alone_can_be_measured_but_not_trained(tmp_path: Path) -> None:
    content = {"name": "sums", "model": {"path": "base"}, "sources": [{"path": "b.jsonl", "split": "eval"}]}
    assert len(of_recipe(tmp_path, **content).for_model(tmp_path).sources) == 1
    with pytest.raises(ValueError, match="nothing is left to train on"):
        Recipe.model_validate(content)


def test_a_model_reads_the_rows_with_its_own_tokenizer_and_template(tmp_path: Path) -> None:
    recipe = of_recipe(
        tmp_path,
        sources=[{"path": "b.jsonl", "split": "eval"}],
        chat={"chat_template_path": "chatml", "assistant_only_loss": True},
    )
    bare = recipe.for_model(tmp_path)
    assert (bare.model.path, bare.model.tokenizer) == (str(tmp_path), None)
    assert bare.chat.chat_template_path == "chatml", "the recipe's, for a model that has none"
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    own = recipe.for_model(tmp_path).chat
    assert (own.chat_template_path, own.assistant_only_loss) == (None, True)


@pytest.mark.parametrize("data", [[], ["x.jsonl"]], ids=["neither", "both"])
def test_rows_come_from_one_place(tmp_path: Path, data: list[str]) -> None:
    recipe = tmp_path / "recipe.yaml" if data else None
    with pytest.raises(RecipeError, match=f"found {'both' if data else 'neither'}"):
        held_out_recipe("m", data, recipe, [], NOTICES.append)


def test_a_recipe_that_holds_nothing_out_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"give a source `split: eval`, or set formats\.eval_fraction"):
        of_recipe(tmp_path, sources=[{"path": "a.jsonl"}]).for_model(tmp_path)


def test_a_misspelt_override_is_an_error_of_the_command_line() -> None:
    with pytest.raises(RecipeError, match=r"--data: evaluation.num_prompt: unknown key; did you mean 'num_prompts'"):
        of_data("x.jsonl", overrides=("evaluation.num_prompt=7",))


def test_what_only_training_would_read_is_neither_identity_nor_parameter(tmp_path: Path) -> None:
    sources = [{"path": "b.jsonl", "split": "eval"}]
    slow, fast = (of_recipe(tmp_path, f"training.learning_rate={rate}", sources=sources) for rate in ("0.1", "0.2"))
    assert slow != fast
    assert run_key(slow, []) == run_key(fast, []) != run_key(slow, ["another model"])
    assert not [name for name in recipe_params(slow) if name.startswith("training/")]
    assert "evaluation/num_prompts" in recipe_params(slow)
