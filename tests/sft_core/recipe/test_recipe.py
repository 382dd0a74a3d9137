"""The recipe: defaults that users of TRL know, and what cannot be asked for."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from sft_core.recipe import Recipe
from sft_core.store.fingerprint import digest

LEAST: dict[str, Any] = {"name": "tiny", "model": {"path": "gpt2"}, "sources": [{"path": "train.jsonl"}]}

TRL_DEFAULTS = {
    "training": {
        "loss_type": "nll",
        "num_train_epochs": 3.0,
        "max_steps": -1,
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 8,
        "gradient_accumulation_steps": 1,
        "learning_rate": 2e-5,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0,
        "optim": "adamw_torch_fused",
        "weight_decay": 0.0,
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-8,
        "max_grad_norm": 1.0,
        "seed": 42,
        "data_seed": None,
        "gradient_checkpointing": True,
        "logging_steps": 10,
        "eval_strategy": "no",
        "fp16": False,
    },
    "tokens": {"max_length": 1024, "truncation_mode": "keep_start"},
    "packing": {"packing": False, "packing_strategy": "bfd", "eval_packing": None},
    "chat": {"chat_template_path": None, "completion_only_loss": None, "assistant_only_loss": False},
    "formats": {"dataset_text_field": "text"},
    "model": {"trust_remote_code": False, "dtype": "float32"},
}


def recipe(**sections: Any) -> Recipe:
    return Recipe.model_validate({**LEAST, **sections})


@pytest.mark.parametrize(
    ("section", "field"), [(section, field) for section, fields in TRL_DEFAULTS.items() for field in fields]
)
def test_defaults_are_those_of_trl(section: str, field: str) -> None:
    assert getattr(getattr(recipe(), section), field) == TRL_DEFAULTS[section][field]


def test_nothing_is_held_out_unless_asked_for() -> None:
    assert recipe().formats.eval_fraction == 0.0


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        recipe().name = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        recipe().training.learning_rate = 1.0  # type: ignore[misc]


def sections_of(model: type[BaseModel]) -> list[type[BaseModel]]:
    fields = [field.annotation for field in model.model_fields.values()]
    inner = [field for field in fields if isinstance(field, type) and issubclass(field, BaseModel)]
    return [model, *(section for field in inner for section in sections_of(field))]


@pytest.mark.parametrize("section", sections_of(Recipe), ids=lambda section: section.__name__)
def test_every_section_is_closed_and_frozen(section: type[BaseModel]) -> None:
    assert section.model_config["extra"] == "forbid"
    assert section.model_config["frozen"] is True


def test_a_recipe_survives_its_own_json() -> None:
    full = recipe(training={"learning_rate": 1e-4}, evaluation={"gen_kwargs": {"max_new_tokens": 8}})
    assert Recipe.model_validate_json(full.model_dump_json()) == full


def test_the_registered_model_is_called_after_the_recipe_unless_named() -> None:
    assert recipe().model_name == "tiny"
    assert recipe(registry={"model_name": "big"}).model_name == "big"


@pytest.mark.parametrize("packing", [{"packing": True}, {"packing": False, "eval_packing": True}])
def test_packing_without_a_length_is_refused(packing: dict[str, bool]) -> None:
    with pytest.raises(ValidationError, match=r"`packing` needs `tokens.max_length`"):
        recipe(packing=packing, tokens={"max_length": None})


def test_no_length_is_fine_without_packing() -> None:
    assert recipe(tokens={"max_length": None}).tokens.max_length is None


@pytest.mark.parametrize(
    ("sections", "limits"),
    [
        ({}, {"train": None, "eval": None}),
        ({"tokens": {"max_length": 1024}}, {"train": 1024, "eval": 1024}),
        ({"tokens": {"max_length": 8, "max_length_with_images": None}}, {"train": None, "eval": None}),
        ({"tokens": {"max_length_with_images": 9}}, {"train": 9, "eval": 9}),
        ({"packing": {"packing": True}}, {"train": 1024, "eval": 1024}),
        ({"packing": {"packing": True, "eval_packing": False}}, {"train": 1024, "eval": None}),
        ({"packing": {"packing": True, "packing_strategy": "bfd_split"}}, {"train": None, "eval": None}),
    ],
)
def test_rows_with_images_are_limited_by_what_the_recipe_says_itself_and_by_blocks(
    sections: dict[str, Any], limits: dict[str, int | None]
) -> None:
    """And a recipe that was written with all its fields says the same as the one that it was made from."""
    made = recipe(**sections)
    assert made.limits(has_images=True).with_images == limits
    assert Recipe.model_validate(made.model_dump(mode="json")) == made


def test_the_limit_of_rows_with_images_is_nothing_that_texts_hang_on() -> None:
    text, images = recipe().tokens, recipe(tokens={"max_length_with_images": 9}).tokens
    assert (digest(text), text == images) == (digest(images), False)


def test_only_held_out_sources_are_refused() -> None:
    with pytest.raises(ValidationError, match="nothing is left to train on"):
        recipe(sources=[{"path": "a.jsonl", "split": "eval"}, {"path": "b.jsonl", "split": "eval"}])


def test_a_held_out_source_beside_another_is_fine() -> None:
    assert len(recipe(sources=[{"path": "a.jsonl"}, {"path": "b.jsonl", "split": "eval"}]).sources) == 2


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({"sources": []}, "at least 1 item"),
        ({"name": "a/b"}, "pattern"),
        ({"sources": [{"path": ""}]}, "at least 1 character"),
        ({"sources": [{"path": "a", "shard_rows": 0}]}, "greater than or equal to 1"),
        (
            {"sources": [{"path": "a", "columns": {"prompt": "q", "text": "q"}}]},
            "each column of the file can get one name",
        ),
        ({"sources": [{"path": "a", "name": "../a"}]}, "pattern"),
        ({"tokens": {"max_length": 0}}, "greater than or equal to 1"),
        (
            {"packing": {"packing": True, "packing_strategy": "bfd_split"}, "tokens": {"truncation_mode": "drop"}},
            "would have no effect",
        ),
        ({"tokens": {"truncation_mode": "keep_middle"}}, "keep_start"),
        ({"tokens": {"truncation_mode": "keep_end", "keep_end_token": True}}, "remove one of the two"),
        ({"packing": {"packing_strategy": "first_fit"}}, "bfd"),
        ({"formats": {"eval_fraction": 1.0}}, "less than 1"),
        ({"formats": {"eval_fraction": -0.1}}, "greater than or equal to 0"),
        ({"chat": {"template_date": "1 May 2026"}}, "pattern"),
        ({"chat": {"template_date": "2026-13-01"}}, "month must be in 1..12"),
        ({"sources": [{"path": "a", "repeat": float("inf")}]}, "finite number"),
        ({"sources": [{"path": "a", "repeat": 1e9}]}, "less than or equal to 10000"),
        ({"sources": [{"path": "a", "shard_rows": 2**63}]}, "less than 2147483648"),
        ({"sources": [{"path": "a", "transform": ""}]}, "at least 1 character"),
        ({"tokens": {"max_length": 2**31}}, "less than 2147483648"),
        ({"packing": {"shuffle_seed": 2**64}}, "less than 18446744073709551616"),
        ({"model": {"path": "m", "tokenizer": ""}}, "at least 1 character"),
        ({"formats": {"dataset_text_field": ""}}, "at least 1 character"),
        ({"training": {"max_steps": 0}}, "`max_steps` is a positive number of steps, or -1"),
        ({"training": {"max_steps": -2}}, "`max_steps` is a positive number of steps, or -1"),
        ({"training": {"bf16": True, "fp16": True}}, "exclude each other"),
        ({"training": {"learning_rate": -1}}, "greater than or equal to 0"),
        ({"training": {"num_train_epochs": 0}}, "greater than 0"),
        ({"evaluation": {"answer_pattern": "("}}, "not a regular expression"),
        ({"evaluation": {"answer_pattern": "abc"}}, "needs a group in parentheses"),
        ({"gates": {"max_rejected_fraction": 1.1}}, "less than or equal to 1"),
        ({"registry": {"gate": {"min_gain": -1}}}, "greater than or equal to 0"),
        ({"registry": {"model_name": "a/b"}}, "pattern"),
        ({"runtime": {"num_processes": 0}}, "greater than or equal to 1"),
    ],
    ids=str,
)
def test_values_out_of_bounds_are_refused(section: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        recipe(**section)


def test_a_training_that_answers_no_prompts_does_not_hang_on_the_evaluation_section() -> None:
    def key(num_eval_prompts: int, **evaluation: object) -> str:
        training = {"num_eval_prompts": num_eval_prompts, "eval_strategy": "steps"}
        made = Recipe(**LEAST, training=training, evaluation=evaluation)
        return digest([made.training, made.answering_while_training])

    assert key(0) == key(0, metrics=["f1"], seed=1)
    assert key(3) == key(3, num_prompts=7, baseline=False)
    assert len({key(0), key(3), key(3, metrics=["f1"]), key(3, gen_kwargs={"max_new_tokens": 9})}) == 4


def test_prompts_to_answer_at_evaluations_need_evaluations() -> None:
    with pytest.raises(ValidationError, match="`num_eval_prompts` are answered at evaluations: set `eval_strategy`"):
        Recipe(**LEAST, training={"num_eval_prompts": 3})
