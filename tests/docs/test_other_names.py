"""Every field of TRL and of trlX is a field here, an alias, or stands in the table with the reason why not."""

import dataclasses
import typing
from pathlib import Path
from typing import Any

import pytest
from trl import ModelConfig, ScriptArguments, SFTConfig
from trl.scripts.utils import DatasetConfig, DatasetMixtureConfig

from sft_core.recipe import Recipe
from sft_core.recipe.aliases import ALIASES
from sft_core.recipe.counterparts import FORMER, TRL, TRLX, Counterpart
from sft_core.training.owned import OWNED
from tests.docs.test_pages import load

PROJECT = Path(__file__).parents[2]
TRLX_FIELDS = {
    "method": ["name", "gen_kwargs"],
    "model": ["model_path", "model_arch_type", "num_layers_unfrozen", "peft_config", "model_extra_configs"],
    "tokenizer": ["tokenizer_path", "padding_side", "truncation_side", "tokenizer_extra_configs"],
    "optimizer": ["name", "kwargs"],
    "scheduler": ["name", "kwargs"],
    "train": [
        *("total_steps", "seq_length", "epochs", "batch_size", "checkpoint_interval", "eval_interval", "pipeline"),
        *("trainer", "trainer_kwargs", "project_name", "run_name", "entity_name", "group_name", "checkpoint_dir"),
        *("rollout_logging_dir", "save_best", "save_optimizer", "resume_from_checkpoint", "tracker", "logging_dir"),
        *("tags", "seed", "minibatch_size"),
    ],
}


def fields_of(annotation: Any) -> list[str]:
    """Names of a section's fields, also where it is a list of sections."""
    section = next((item for item in (annotation, *typing.get_args(annotation)) if hasattr(item, "model_fields")), None)
    return [] if section is None else list(section.model_fields)


OURS = {
    f"{name}.{inner}" for name, field in Recipe.model_fields.items() for inner in fields_of(field.annotation)
} | set(Recipe.model_fields)


@pytest.mark.parametrize("config", [SFTConfig, ModelConfig, ScriptArguments, DatasetMixtureConfig, DatasetConfig])
def test_every_field_of_trl_is_accounted_for(config: type) -> None:
    same_name = {path.rpartition(".")[2] for path in OURS}
    lost = {field.name for field in dataclasses.fields(config)} - same_name - set(TRL) - set(OWNED)
    assert {f"training.{name}" for name in lost} <= set(ALIASES)


def test_no_line_is_about_a_field_that_trl_does_not_have() -> None:
    configs = (SFTConfig, ModelConfig, ScriptArguments, DatasetMixtureConfig, DatasetConfig)
    assert set(TRL) <= {field.name for config in configs for field in dataclasses.fields(config)}


def test_every_field_of_trlx_is_accounted_for() -> None:
    assert set(TRLX) == {f"{section}.{name}" for section, names in TRLX_FIELDS.items() for name in names}


@pytest.mark.parametrize("table", [TRL, TRLX, FORMER], ids=["trl", "trlx", "former"])
def test_every_line_leads_to_a_field_or_gives_a_reason(table: dict[str, Counterpart]) -> None:
    for name, found in table.items():
        assert set(found.fields) <= OURS, name
        assert found.fields or found.note, name


def test_the_page_is_fresh() -> None:
    generator = load(PROJECT / "docs" / "make_from_trl_and_trlx.py")
    assert generator.PAGE.read_text() == generator.page(), "run: python docs/make_from_trl_and_trlx.py"
