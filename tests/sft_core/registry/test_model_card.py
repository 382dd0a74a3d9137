"""What a card says of a model, and what it does not make up."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from sft_core.recipe import Recipe
from sft_core.registry.image_facts import ImageFacts
from sft_core.registry.model_card import CardFacts, DataSplit, base_license, model_card


def facts(**recipe: Any) -> CardFacts:
    fields: dict[str, Any] = {
        "model": {"path": "org/base"},
        "sources": [{"path": "data/x.jsonl"}],
        **recipe,
    }
    return CardFacts(
        name="mine",
        recipe=Recipe(name="r", **fields).model_dump(mode="json"),
        base_folder=None,
        splits=[DataSplit("train", "d" * 32, 1200, 34567)],
        scores={"eval_loss": 0.51234, "baseline_eval_loss": 2.5, "exact_match": 0.75},
        is_merged=True,
        is_chat=True,
        num_tokens=100000,
        global_step=30,
        num_parameters=5000,
        num_trained_parameters=70,
    )


def head(card: str) -> dict[str, Any]:
    found = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def results(card: str) -> list[dict[str, Any]]:
    [model] = head(card)["model-index"]
    assert model["name"] == "mine"
    found: list[dict[str, Any]] = model["results"]
    return found


def test_a_base_and_data_on_the_hub_are_named_in_the_head(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\ntags: [x]\n---\n# Base\n")
    card = model_card(replace(facts(sources=[{"path": "hf://datasets/org/data@main/x.jsonl"}]), base_folder=tmp_path))
    fields = head(card)
    assert "model-index" in fields
    del fields["model-index"]
    assert fields == {
        "base_model": "org/base",
        "base_model_relation": "finetune",
        "license": "apache-2.0",
        "datasets": ["org/data"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["sft"],
    }


def test_a_local_base_is_no_name_of_the_hub(tmp_path: Path) -> None:
    card = model_card(facts(model={"path": str(tmp_path)}))
    assert "base_model" not in head(card)
    assert f"Fine-tuned from `{tmp_path.name}`" in card
    assert str(tmp_path.parent) not in card, "nobody's folders are told"


def test_an_adapter_is_loaded_by_peft() -> None:
    adapter = replace(facts(training={"peft": {"peft_type": "LORA"}}), is_merged=False)
    card = model_card(adapter)
    assert (head(card)["library_name"], head(card)["base_model_relation"]) == ("peft", "adapter")
    assert head(card)["tags"] == ["sft", "lora"]
    assert "AutoPeftModelForCausalLM" in card


def test_scores_stand_beside_those_of_the_base() -> None:
    card = model_card(facts())
    assert "| `eval_loss` | 2.5 | 0.5123 |" in card
    assert "| `exact_match` | – | 0.75 |" in card
    assert f"| train | 1,200 | 34,567 | `{'d' * 32}` |" in card


def test_a_page_on_the_hub_shows_the_scores_of_the_trained_model() -> None:
    scores = {"eval_loss": 0.5, "baseline_eval_loss": 2.5, "num_prompts": 4, "f1": float("nan")}
    harness = {"lm_eval/gsm8k/exact_match/strict-match": 0.25}
    splits = [DataSplit("train", "d" * 32, 1200, 34567), DataSplit("eval", "e" * 32, 100, 2000)]
    card = model_card(replace(facts(), scores={**scores, **harness}, splits=splits))
    on_rows, on_task = results(card)
    assert on_rows == {
        "task": {"type": "text-generation"},
        "dataset": {"name": "held-out rows", "type": "unknown", "args": {"digest": "e" * 32, "rows": 100}},
        "metrics": [{"name": "eval_loss", "type": "eval_loss", "value": 0.5}],
    }
    assert on_task["dataset"] == {"name": "gsm8k", "type": "lm_eval:gsm8k"}
    [metric] = on_task["metrics"]
    assert metric == {"name": "lm_eval/gsm8k/exact_match/strict-match", "type": "exact_match", "value": 0.25}
    parsed = ModelCard(card)
    assert [result.metric_value for result in parsed.data.eval_results or []] == [0.5, 0.25]
    assert "# mine" in parsed.text


def test_without_scores_there_is_no_index() -> None:
    assert not {"model-index", "model_name"} & head(model_card(replace(facts(), scores={"num_prompts": 0}))).keys()


@pytest.mark.parametrize(
    ("files", "license_name"),
    [
        ({"README.md": "---\nlicense: mit\n---\n", "config.json": '{"license": "other"}'}, "mit"),
        ({"README.md": "# no head", "config.json": '{"license": "gemma"}'}, "gemma"),
        ({"README.md": "---\nlicense: [broken\n---\n", "config.json": "{}"}, None),
        ({}, None),
    ],
)
def test_a_license_is_read_and_never_guessed(tmp_path: Path, files: dict[str, str], license_name: str | None) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert base_license(tmp_path) == license_name


def test_a_model_that_sees_says_what_it_was_shown_and_how_it_is_shown_more() -> None:
    card = model_card(replace(facts(), images=ImageFacts(1200, 3, 64, 196)))
    assert head(card)["pipeline_tag"] == "image-text-to-text"
    assert "Intended input: text and images." in card
    assert "1,200 different images, at most 3 a row, each of 64 to 196 tokens." in card
    assert "AutoProcessor.from_pretrained" in card
    assert '"image_url": {"url": "data:image/png;base64,…"}' in card
    alike = model_card(replace(facts(), images=ImageFacts(2, 1, 64, 64)))
    assert "each of 64 tokens" in alike
    texts = model_card(replace(facts(), images=ImageFacts(0, 0, 0, 0)))
    assert "It was trained on texts alone." in texts
    assert "image" not in model_card(facts()).lower()
