"""What is tried: products, draws, and what is refused before the first trial."""

import math
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sft_core.errors import RecipeError
from sft_core.recipe import Recipe
from sft_core.recipe.recipe_file import load_value, parse_as
from sft_core.recipe.sweep.goal import best_of, goal_of, sweep_id
from sft_core.recipe.sweep.options import as_command, as_sets, parse_paths
from sft_core.recipe.sweep.space import Space, SweepRange, corners_of, overrides_of
from sft_core.recipe.sweep.tpe import Tpe
from sft_core.recipe.sweep.trials import Base, check_trials

RATE = "training.learning_rate"
CONTENT: dict[str, Any] = {
    "name": "sums",
    "model": {"path": "./model"},
    "sources": [{"path": "sums.jsonl"}],
    "training": {"max_steps": 5},
}


@pytest.fixture
def base(tmp_path: Path) -> Base:
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(CONTENT), encoding="utf-8")
    return Base.read(str(file), ["training.warmup_steps=2"], lambda notice: None)


def space(**fields: Any) -> Space:
    return parse_as(Space, fields, "sweep")


def test_a_grid_is_the_product_and_its_last_path_turns_fastest() -> None:
    found = overrides_of(space(grid={RATE: [1e-3, 3e-3], "tokens.max_length": [64, 128]}))
    assert [tuple(one.values()) for one in found] == [(1e-3, 64), (1e-3, 128), (3e-3, 64), (3e-3, 128)]


def test_a_trial_is_the_recipe_with_its_overrides_laid_over(base: Base) -> None:
    recipe = base.trial({RATE: 3e-3}, "registry.promote=false")
    assert (recipe.training.learning_rate, recipe.training.max_steps, recipe.training.warmup_steps) == (3e-3, 5, 2)
    assert not recipe.registry.promote
    assert base.trial({}).training.learning_rate != 3e-3, "trials do not write into each other"
    assert base.whole(recipe).training.learning_rate == base.trial({}).training.learning_rate
    assert Base({"name": "sums"}, "file").whole(recipe) is recipe


def test_draws_are_those_of_the_seed_and_lie_where_they_must() -> None:
    fields = {RATE: {"low": 1e-5, "high": 1e-1, "log": True}, "training.max_steps": {"low": 2, "high": 4, "int": True}}
    draw = {"random": {**fields, "training.optim": ["adamw_torch", "sgd"]}, "num_trials": 200}
    first, again, other = (overrides_of(space(**draw, seed=seed)) for seed in (3, 3, 4))
    assert first == again != other
    assert {one["training.max_steps"] for one in first} == {2, 3, 4}
    assert all(type(one["training.max_steps"]) is int for one in first)
    assert {one["training.optim"] for one in first} == {"adamw_torch", "sgd"}
    rates = [one[RATE] for one in first]
    assert min(rates) >= 1e-5
    assert max(rates) <= 1e-1
    assert 70 < sum(rate < 1e-3 for rate in rates) < 130, "half of a logarithmic scale"


@given(st.floats(1e-6, 1.0), st.floats(1.001, 1e4), st.integers(0, 2**32 - 1))
def test_a_draw_never_leaves_its_range(low: float, factor: float, seed: int) -> None:
    values = SweepRange(low=low, high=low * factor, log=True)
    (drawn,) = overrides_of(Space(random={RATE: values}, num_trials=1, seed=seed))
    assert values.low <= drawn[RATE] <= values.high


def test_corners_show_every_value_and_both_ends() -> None:
    found = corners_of(space(optuna={RATE: {"low": 1e-4, "high": 1e-2}, "training.optim": ["sgd", "adafactor"]}))
    assert [tuple(one.values()) for one in found] == [
        (1e-4, "sgd"),
        (1e-2, "sgd"),
        (1e-4, "sgd"),
        (1e-4, "adafactor"),
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "expected one of grid, random and optuna, found none"),
        ({"grid": {RATE: [1]}, "random": {RATE: [1]}}, "found grid and random"),
        ({"grid": {}}, "grid: expected at least one path, found none"),
        ({"grid": {RATE: []}}, f"grid: expected values for {RATE}, found none"),
        ({"grid": {"name": ["a", "b"]}}, "name is the same for all trials"),
        ({"grid": {"runtime.num_processes": [1, 2]}}, "runtime.num_processes is the same for all trials"),
        ({"grid": {f"training.a{i}": list(range(101)) for i in range(2)}}, "at most 10,000 combinations, found 10,201"),
        ({"random": {RATE: {"low": 2, "high": 1}}}, "expected `low` below `high`, found 2 and 1"),
        ({"random": {RATE: {"low": 0, "high": 1, "log": True}}}, "`log` needs `low` above 0"),
        ({"random": {RATE: {"low": 0.5, "high": 2, "int": True}}}, "`int` needs `low` and `high` to be integers"),
        ({"random": {RATE: {"low": 1, "hgih": 2}}}, "hgih: unknown key"),
    ],
)
def test_a_space_that_is_none_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as refused:
        space(**fields)
    assert message in str(refused.value)


def test_all_trials_that_are_no_recipes_are_told_at_once(base: Base) -> None:
    with pytest.raises(RecipeError) as refused:
        check_trials(
            base, overrides_of(space(grid={"training.learning_rat": [1], "tokens.max_length": [64, "long"]})), print
        )
    lines = str(refused.value).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("trial 1 (training.learning_rat=1, tokens.max_length=64): ")
    assert "did you mean 'learning_rate'" in lines[0]
    assert all(line.startswith("trial 2 (training.learning_rat=1, tokens.max_length=long): ") for line in lines[1:])
    assert sum("tokens.max_length" in line.partition("): ")[2] for line in lines) == 1


def test_paths_are_read_as_people_write_them() -> None:
    assert parse_paths([f"{RATE}=1e-3,3e-3"], "--grid", False) == {RATE: [1e-3, 3e-3]}
    assert parse_paths(["a.b=[x, null, true]"], "--grid", False) == {"a.b": ["x", None, True]}
    assert parse_paths(["a.b=[[1], [2]]"], "--grid", False) == {"a.b": [[1], [2]]}
    ranged = parse_paths([f"{RATE}={{low: 1e-5, high: 1e-3, log: true}}"], "--random", True)
    assert space(random=ranged).paths[RATE] == SweepRange(low=1e-5, high=1e-3, log=True)
    with pytest.raises(RecipeError, match=r"--grid: expected PATH=a,b,…, found 'oops'"):
        parse_paths(["oops"], "--grid", False)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        st.lists,
        max_leaves=4,
    )
)
def test_an_override_reads_back_as_itself(value: Any) -> None:
    (text,) = as_sets({"a.b": value})
    assert load_value(text.removeprefix("a.b=")) == value
    assert shlex.split(as_command("recipe.yaml", [text]))[-1] == text


def test_the_goal_is_the_gates_unless_another_metric_is_named(base: Base) -> None:
    recipe = base.trial({})
    assert goal_of(recipe, None, None) == ("eval_loss", "minimize")
    assert goal_of(recipe, "exact_match", None) == ("exact_match", "maximize")
    assert goal_of(recipe, "eval_loss/sums", None) == ("eval_loss/sums", "minimize")
    assert goal_of(recipe, "exact_match", "minimize") == ("exact_match", "minimize")
    gated = Recipe.model_validate({**CONTENT, "registry": {"gate": {"metric": "exact_match", "direction": "maximize"}}})
    assert goal_of(gated, None, None) == ("exact_match", "maximize")


def test_the_best_is_a_number_and_of_equal_ones_the_first() -> None:
    assert best_of([None, 2.0, math.nan, 1.0, 1.0], "minimize") == 3
    assert best_of([None, 2.0, math.nan, 1.0, 2.0], "maximize") == 1
    assert best_of([None, math.nan], "minimize") is None


def test_a_sweep_is_known_by_what_decides_its_trials() -> None:
    grid, drawn = space(grid={RATE: [1, 2]}), space(optuna={RATE: [1, 2]})
    first = sweep_id("key", grid, "eval_loss", "minimize", 1)
    assert first == sweep_id("key", grid, "eval_loss", "minimize", 4), "pace decides nothing in a grid"
    assert sweep_id("key", drawn, "eval_loss", "minimize", 1) != sweep_id("key", drawn, "eval_loss", "minimize", 4)
    others = [("other", grid, "eval_loss"), ("key", space(grid={RATE: [1]}), "eval_loss"), ("key", grid, "exact_match")]
    assert first not in [sweep_id(key, tried, metric, "minimize", 1) for key, tried, metric in others]


def study(num_at_once: int, num_trials: int = 24) -> list[float]:
    """Rates that were drawn where the score is the distance from 1e-3, on a logarithmic scale; every fifth fails."""
    tried = space(optuna={RATE: {"low": 1e-5, "high": 1e-1, "log": True}}, num_trials=num_trials, seed=1)
    sampler, rates = Tpe(tried, "minimize"), []
    for begin in range(0, num_trials, num_at_once):
        asked = [one[RATE] for one in sampler.ask(min(num_at_once, num_trials - begin))]
        sampler.tell([None if (begin + i) % 5 == 4 else abs(math.log10(r) + 3) for i, r in enumerate(asked)])
        rates += asked
    return rates


def test_optuna_draws_the_same_again_and_learns_from_the_scores() -> None:
    pytest.importorskip("optuna")
    rates = study(1)
    assert rates == study(1)
    assert study(4) == study(4)
    early, late = (sum(abs(math.log10(rate) + 3) for rate in part) / 8 for part in (rates[:8], rates[-8:]))
    assert late < early


def test_without_optuna_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(RecipeError, match=r"pip install 'sft\[optuna\]'"):
        Tpe(space(optuna={RATE: [1, 2]}), "minimize")
