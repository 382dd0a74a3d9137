"""Names of trlX are understood where its users put them, never silently, and never two at once."""

from pathlib import Path
from typing import Any

import pytest

from sft_core.errors import RecipeError
from sft_core.recipe import Recipe
from sft_core.recipe.aliases import ALIASES
from sft_core.recipe.recipe_file import load_recipe

LEAST = "name: tiny\nsources: [{path: train.jsonl}]\n"


def load(folder: Path, more: str, *overrides: str) -> tuple[Recipe, list[str]]:
    file, notices = folder / "recipe.yaml", []
    file.write_text(LEAST + ("" if "model" in more else "model: {path: gpt2}\n") + more)
    recipe = load_recipe(file, overrides, notices.append)
    return recipe, [notice.removeprefix(f"{file}: ") for notice in notices]


def value_of(recipe: Recipe, path: str) -> Any:
    value: Any = recipe
    for key in path.split("."):
        value = getattr(value, key)
    return value


@pytest.mark.parametrize(
    ("more", "path", "value", "notice"),
    [
        ("seq_length: 512", "tokens.max_length", 512, "`seq_length` is `tokens.max_length` here"),
        ("train: {seq_length: 512}", "tokens.max_length", 512, "`train.seq_length` is `tokens.max_length` here"),
        ("training: {seq_length: 512}", "tokens.max_length", 512, "`training.seq_length` is `tokens.max_length` here"),
        ("learning_rate: 1e-4", "training.learning_rate", 1e-4, "`learning_rate` is `training.learning_rate` here"),
        ("model: {model_path: m}", "model.path", "m", "`model.model_path` is `model.path` here"),
        ("method: {gen_kwargs: {top_k: 3}}", "evaluation.gen_kwargs", {"top_k": 3}, "`method.gen_kwargs` is "),
        ("optimizer: {kwargs: {lr: 0.5}}", "training.learning_rate", 0.5, "`optimizer.kwargs.lr` is "),
        (
            "training: {activation_checkpointing: false}",
            "training.gradient_checkpointing",
            False,
            "`training.activation_checkpointing` is `training.gradient_checkpointing` here",
        ),
        (
            "train: {eval_interval: 7}",
            "training.eval_strategy",
            "steps",
            "`train.eval_interval` is `training.eval_steps` here, and sets `training.eval_strategy: steps`",
        ),
    ],
)
def test_an_alias_is_taken_for_our_field_and_that_is_said(
    tmp_path: Path, more: str, path: str, value: Any, notice: str
) -> None:
    recipe, notices = load(tmp_path, more)
    assert value_of(recipe, path) == value
    assert len(notices) == 1
    assert notices[0].startswith(notice)


def test_our_own_names_are_not_worth_a_notice(tmp_path: Path) -> None:
    assert load(tmp_path, "training: {learning_rate: 1e-4}\ntokens: {max_length: 5}")[1] == []


def test_an_alias_on_the_command_line_is_understood_too_and_lies_over_the_file(tmp_path: Path) -> None:
    recipe, notices = load(tmp_path, "tokens: {max_length: 9}", "train.seq_length=5", "peft_config.r=8")
    assert (recipe.tokens.max_length, recipe.training.peft) == (5, {"r": 8})
    assert notices == ["`train.seq_length` is `tokens.max_length` here", "`peft_config.r` is `training.peft.r` here"]


def test_what_an_alias_implies_gives_way_to_what_the_recipe_says(tmp_path: Path) -> None:
    recipe, notices = load(tmp_path, "eval_interval: 7\ntraining: {eval_strategy: epoch}")
    assert (recipe.training.eval_strategy, recipe.training.eval_steps) == ("epoch", 7)
    assert notices == ["`eval_interval` is `training.eval_steps` here"]


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("seq_length: 5\ntokens: {max_length: 6}", "tokens.max_length and seq_length: both are `tokens.max_length`"),
        ("seq_length: 5\ntrain: {seq_length: 5}", "seq_length and train.seq_length: both are `tokens.max_length`"),
        (
            "train: {epochs: 3, total_steps: 9}",
            "train.epochs and train.total_steps: trlX stops at whichever comes first",
        ),
        ("train: {tracker: wandb}", "train.tracker: no such field here; MLflow tracks every run"),
        ("optimizer: {name: adamw}", "optimizer.name: write `training.optim`; `adamw` is `adamw_torch`"),
        ("train: {seq_length: 5, pipeline: P}", "train.pipeline: no such field here; the format of rows"),
    ],
)
def test_what_is_not_the_same_here_is_an_error_that_says_so(tmp_path: Path, more: str, complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint.replace("`", "`")):
        load(tmp_path, more)


def test_every_alias_leads_to_a_field() -> None:
    recipe = Recipe.model_validate({"name": "r", "model": {"path": "m"}, "sources": [{"path": "a"}]})
    for ours in ALIASES.values():
        value_of(recipe, ours)


def test_without_a_listener_a_notice_is_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(LEAST + "model: {path: gpt2}\nseq_length: 5")
    with pytest.warns(UserWarning, match="`seq_length` is `tokens.max_length` here"):
        load_recipe(file)
