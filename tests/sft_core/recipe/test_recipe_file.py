"""Recipes from YAML: what people mean by it, dotted overrides, and mistakes explained."""

from pathlib import Path
from typing import Any

import pytest

from sft_core.errors import RecipeError
from sft_core.recipe import Recipe
from sft_core.recipe.recipe_file import load_recipe, parse_recipe

LEAST = """
name: tiny
model: {path: gpt2}
sources:
  - path: train.jsonl
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "recipe.yaml"


def load(file: Path, more: str = "", *overrides: str) -> Recipe:
    file.write_text(LEAST + more, encoding="utf-8")
    return load_recipe(file, overrides)


def mistake(file: Path, more: str = "", *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load(file, more, *overrides)
    return str(caught.value)


def test_the_least_recipe_has_a_name_a_model_and_a_source(file: Path) -> None:
    recipe = load(file)
    assert (recipe.name, recipe.model.path, recipe.sources[0].path) == ("tiny", "gpt2", "train.jsonl")


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-4", 1e-4), ("2E3", 2000.0), ("1.5e-4", 1.5e-4), ("-1e2", -100.0), ("1_000e1", 10000.0), ("0.5", 0.5)],
)
def test_numbers_with_an_exponent_are_numbers_even_where_any_value_goes(file: Path, text: str, number: float) -> None:
    assert load(file, f"evaluation: {{gen_kwargs: {{temperature: {text}}}}}").evaluation.gen_kwargs == {
        "temperature": number
    }


@pytest.mark.parametrize("text", ["e4", "1e", "0x1e-4x", "v1e-4"])
def test_words_that_only_look_like_numbers_stay_words(file: Path, text: str) -> None:
    assert load(file, f"evaluation: {{gen_kwargs: {{cache_implementation: {text}}}}}").evaluation.gen_kwargs == {
        "cache_implementation": text
    }


@pytest.mark.parametrize("name", ["eval_strategy", "save_strategy", "logging_strategy"])
def test_never_is_no_with_quotes_and_without(file: Path, name: str) -> None:
    for more, overrides in ((f"training: {{{name}: no}}", ()), ("", (f"training.{name}=no",))):
        assert getattr(load(file, more, *overrides).training, name) == "no"
    assert "found True" in mistake(file, f"training: {{{name}: yes}}")


def test_anchors_and_merges_work(file: Path) -> None:
    more = "training: &seed {seed: 64}\nevaluation:\n  <<: *seed\n  num_prompts: 3\n"
    evaluation = load(file, more).evaluation
    assert (evaluation.seed, evaluation.num_prompts) == (64, 3)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("modle: {}", "modle: unknown key; did you mean 'model'?"),
        ("training: {learning_rat: 1}", "training.learning_rat: unknown key; did you mean 'learning_rate'?"),
        ("registry: {gate: {threshhold: 1}}", "registry.gate.threshhold: unknown key; did you mean 'threshold'?"),
        ("weight_decay: 1", "weight_decay: unknown key; did you mean 'training.weight_decay'?"),
        (
            "training: {output_dir: a}",
            "training.output_dir: not set in a recipe: artifacts are written to the store, below `runtime.home`",
        ),
        (
            "training: {dataset_num_proc: 2}",
            "training.dataset_num_proc: write `runtime.num_workers`; the result is the same for any number",
        ),
        (
            "training: {warmup_ratio: 0.1}",
            "training.warmup_ratio: write `training.warmup_steps`; a number below 1 is a share of all steps",
        ),
        (
            "training: {lora_r: 8}",
            "training.lora_r: write `training.peft`; by PEFT's own name inside of `peft`: `{peft_type: LORA, r: 16}`",
        ),
        (
            "training: {pad_to_multiple_of: 8}",
            "training.pad_to_multiple_of: no such field here; how a batch is laid out is the trainer's, and changes no "
            "number; `packing` fills the blocks",
        ),
        ("max_length: 1", "max_length: unknown key; did you mean 'tokens.max_length'?"),
        ("eval_fraction: 0.1", "eval_fraction: unknown key; did you mean 'formats.eval_fraction'?"),
        ("packing_strategy: bfd", "packing_strategy: unknown key; did you mean 'packing.packing_strategy'?"),
        ("dataset_format: text", "dataset_format: unknown key; did you mean 'formats.dataset_format'?"),
        ("training: {max_length: 1}", "training.max_length: unknown key; did you mean 'tokens.max_length'?"),
        (
            "tokens: {zzz: 1}",
            "tokens.zzz: unknown key; known: max_length, max_length_with_images, truncation_mode, "
            "keep_end_token, eos_token, allow_special_tokens_in_content",
        ),
    ],
)
def test_an_unknown_key_says_what_was_perhaps_meant(file: Path, key: str, hint: str) -> None:
    assert mistake(file, key).endswith(hint)


def test_an_unknown_key_in_the_list_of_sources_says_what_was_perhaps_meant(file: Path) -> None:
    assert mistake(file, "  - {path: a.jsonl, shard_row: 3}").endswith(
        "sources.1.shard_row: unknown key; did you mean 'shard_rows'?"
    )


def test_every_mistake_has_its_line(file: Path) -> None:
    lines = mistake(file, "tokens: {max_length: 0}\nformats: {dataset_format: vicuna}\nmodle: 1").split("\n")
    assert [line.split(": ")[1] for line in lines] == ["formats.dataset_format", "tokens.max_length", "modle"]
    assert lines[1] == f"{file}: tokens.max_length: input should be greater than or equal to 1; found 0"


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("training.optim=adamw_torchh", "adamw_torch"),
        ("training.lr_scheduler_type=cosin", "cosine"),
        ("training.loss_type=nlll", "nll"),
        ("model.dtype=bfloat", "bfloat16"),
    ],
)
def test_an_unknown_choice_says_what_was_perhaps_meant(file: Path, override: str, meant: str) -> None:
    assert mistake(file, "", override).endswith(f"; found '{override.split('=')[1]}'; did you mean '{meant}'?")


EVALUATES = ("training.eval_strategy=steps", "training.early_stopping_patience=2")


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ([], "no metric 'rougeL'; there are loss, entropy, mean_token_accuracy; with training.num_eval_prompts"),
        (["training.num_eval_prompts=4"], "there are loss, entropy, mean_token_accuracy, exact_match"),
    ],
)
def test_a_number_that_no_evaluation_has_is_found_in_the_recipe(file: Path, overrides: list[str], says: str) -> None:
    wrong = [*EVALUATES, *overrides, "training.metric_for_best_model=rougeL"]
    assert says in mistake(file, "", *wrong)


@pytest.mark.parametrize(
    "overrides",
    [
        ["training.metric_for_best_model=eval_loss"],
        ["training.metric_for_best_model=eval_exact_match", "training.num_eval_prompts=4"],
        [
            "training.metric_for_best_model=regex/top_k:2",
            "training.num_eval_prompts=4",
            "evaluation.metrics=['regex:a']",
            "evaluation.gen_kwargs={do_sample: true, top_k: [1, 2]}",
        ],
        [
            "training.metric_for_best_model=reward",
            "training.num_eval_prompts=4",
            "evaluation.metrics=[my_metrics.reward]",
        ],
    ],
)
def test_numbers_that_evaluations_will_have_are_taken(file: Path, overrides: list[str]) -> None:
    metric = overrides[0].partition("=")[2]
    assert load(file, "", *EVALUATES, *overrides).training.metric_for_best_model == metric


def test_one_mistake_in_a_source_is_one_line(file: Path) -> None:
    assert mistake(file, "", "sources.0.repeat=0").split("\n") == [
        f"{file}: sources.0.repeat: input should be greater than 0; found 0"
    ]


def test_a_missing_section_is_named() -> None:
    with pytest.raises(RecipeError, match="r: sources: expected a value, found none"):
        parse_recipe({"name": "a", "model": {"path": "m"}}, "r")


def test_a_rule_over_several_sections_is_explained_without_a_place(file: Path) -> None:
    assert mistake(file, "packing: {packing: true}\ntokens: {max_length: null}").startswith(
        f"{file}: `packing` needs `tokens.max_length`"
    )


@pytest.mark.parametrize(
    ("override", "section", "field", "value"),
    [
        ("training.learning_rate=1e-4", "training", "learning_rate", 1e-4),
        ("training.num_train_epochs=2", "training", "num_train_epochs", 2.0),
        ("training.gradient_checkpointing=false", "training", "gradient_checkpointing", False),
        ("tokens.max_length=null", "tokens", "max_length", None),
        ("tokens.max_length=", "tokens", "max_length", None),
        ("chat.chat_template_path=a=b.jinja", "chat", "chat_template_path", "a=b.jinja"),
        ("evaluation.gen_kwargs={top_k: 3}", "evaluation", "gen_kwargs", {"top_k": 3}),
        ("evaluation.gen_kwargs.top_k=3", "evaluation", "gen_kwargs", {"top_k": 3}),
        (" chat.assistant_only_loss =true", "chat", "assistant_only_loss", True),
    ],
)
def test_an_override_sets_one_dotted_path(file: Path, override: str, section: str, field: str, value: Any) -> None:
    assert getattr(getattr(load(file, "", override), section), field) == value


def test_a_later_override_wins(file: Path) -> None:
    assert load(file, "tokens: {max_length: 1}", "tokens.max_length=2", "tokens.max_length=3").tokens.max_length == 3


def test_an_override_keeps_what_stands_beside_it(file: Path) -> None:
    recipe = load(file, "training: {seed: 7}", "training.learning_rate=1")
    assert (recipe.training.seed, recipe.training.learning_rate) == (7, 1.0)


def test_an_override_reaches_into_a_list_by_position(file: Path) -> None:
    assert load(file, "", "sources.0.path=other.jsonl").sources[0].path == "other.jsonl"


def test_the_position_after_the_last_one_adds_an_item(file: Path) -> None:
    recipe = load(file, "", "sources.1.path=more.jsonl", "sources.1.split=eval")
    assert [(source.path, source.split) for source in recipe.sources] == [("train.jsonl", None), ("more.jsonl", "eval")]


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("training.learning_rate", "--set: expected dotted.path=value, found 'training.learning_rate'"),
        ("=3", "--set: expected dotted.path=value"),
        ("training..seed=3", "--set: expected dotted.path=value"),
        ("sources.2.path=x", "--set sources.2: expected a position from 0 to 1, found '2'"),
        ("sources.first.path=x", "--set sources.first: expected a position from 0 to 1, found 'first'"),
        ("sources.-1.path=x", "--set sources.-1: expected a position from 0 to 1, found '-1'"),
        ("name.first=x", "--set name.first: 'name' is a value, not a section"),
        ("training.seed=[1", "--set training.seed: expected a YAML value, found '[1'"),
        ("training.sed=3", "training.sed: unknown key; did you mean 'seed'?"),
    ],
)
def test_a_wrong_override_is_explained(file: Path, override: str, complaint: str) -> None:
    assert complaint in mistake(file, "", override)


@pytest.mark.parametrize(
    ("more", "line", "key"),
    [("name: again", 2, "name"), ("tokens:\n  max_length: 1\n  max_length: 2", 7, "max_length")],
)
def test_a_key_that_stands_twice_is_an_error_with_its_line(file: Path, more: str, line: int, key: str) -> None:
    assert mistake(file, more) == f"{file}, line {line}: the key '{key}' occurs twice"


def test_the_same_key_in_two_sections_is_fine(file: Path) -> None:
    recipe = load(file, "training: {seed: 1}\nevaluation: {seed: 2}")
    assert (recipe.training.seed, recipe.evaluation.seed) == (1, 2)


def test_a_missing_file_is_named_with_its_absolute_path(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"expected a recipe at '.*nowhere\.yaml', found no such file"):
        load_recipe(tmp_path / "nowhere.yaml")


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="expected YAML"):
        load_recipe(tmp_path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"name: [", "expected YAML, found: while parsing"),
        (b"\xff\xfe\x00", "expected YAML, found: 'utf-8' codec"),
        (b"", "expected sections (model, sources, …), found NoneType"),
        (b"just words", "expected sections (model, sources, …), found str"),
        (b"- 1", "expected sections (model, sources, …), found list"),
        (b"name: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
    ],
    ids=repr,
)
def test_what_is_no_recipe_is_refused(file: Path, content: bytes, complaint: str) -> None:
    file.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        load_recipe(file)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
