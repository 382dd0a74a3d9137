"""The model card of a trained model: a `README.md` with the YAML metadata that the Hugging Face Hub reads, followed by
base model, data, recipe, scores and loading instructions.

The metadata has only what is certain: `base_model` for a base model on the Hub, `license` if the base's own card or
configuration names one, `datasets` for sources on the Hub, and in `model-index` the scores of the trained model, which
a page on the Hub shows (https://huggingface.co/docs/hub/model-cards). The text is in `templates/model_card.md.jinja`.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData, metadata_load

from sft_core.registry.image_facts import ImageFacts
from sft_core.store.templates import templates_of

CARD_FILE = "README.md"
_HARNESS_SCORE = re.compile(r"lm_eval/(?P<task>[^/]+)/(?P<metric>[^/]+)(/.+)?")
_HUB_DATA = re.compile(r"hf://datasets/(?P<repo>[\w.-]+/[\w.-]+)")


@dataclass(frozen=True, slots=True)
class DataSplit:
    """One split of the data set."""

    name: str
    digest: str
    rows: int
    tokens: int


@dataclass(frozen=True, slots=True)
class CardFacts:
    """Content of a model card."""

    name: str
    """Name of the registered model."""
    recipe: Mapping[str, Any]
    """The whole recipe as JSON values."""
    base_folder: Path | None
    """Folder with the base model's card and configuration; None if there is no such folder."""
    splits: Sequence[DataSplit]
    scores: Mapping[str, float]
    """The scorecard; names of the base model's scores begin with `baseline_`."""
    is_merged: bool
    """True for full weights, False for an adapter."""
    is_chat: bool
    """True for a model with a chat template."""
    num_tokens: int
    """Number of tokens seen in training."""
    global_step: int
    """Number of optimizer steps."""
    num_parameters: int
    num_trained_parameters: int
    images: ImageFacts | None = None
    """Statistics of the training images; None for a model that accepts only text."""


def model_card(facts: CardFacts) -> str:
    """Return the model card as Markdown."""
    base, is_on_hub = _base(facts)
    text = (
        templates_of(__file__)
        .get_template("model_card.md.jinja")
        .render(
            facts=facts,
            base=base,
            scores=_scores(facts),
            source_names=[source["name"] or Path(source["path"]).name for source in facts.recipe["sources"]],
        )
    )
    return f"---\n{_metadata(facts, base, is_on_hub).to_yaml()}\n---\n\n{text}"


def base_license(folder: Path | None) -> str | None:
    """Return the license named in a model's own card, or else in its configuration; None if neither names one."""
    if folder is None:
        return None
    card, config = folder / CARD_FILE, folder / "config.json"
    named = [_card_metadata(card)] if card.is_file() else []
    named += [json.loads(config.read_bytes())] if config.is_file() else []
    licenses = (fields.get("license") for fields in named if isinstance(fields, dict))
    return next((name for name in licenses if isinstance(name, str) and name), None)


def _card_metadata(card: Path) -> Any:
    try:
        return metadata_load(card)
    except (ValueError, yaml.YAMLError):
        return None


def _base(facts: CardFacts) -> tuple[str | None, bool]:
    """Return the base model's name, or None for random weights, and True if the base model is on the Hub."""
    model = facts.recipe["model"]
    if model["init"] == "config" or model["path"] is None:
        return None, False
    is_folder = Path(model["path"]).expanduser().is_dir()
    return (Path(model["path"]).name if is_folder else model["path"]), not is_folder


def _metadata(facts: CardFacts, base: str | None, is_on_hub: bool) -> ModelCardData:
    found = {match["repo"] for source in facts.recipe["sources"] if (match := _HUB_DATA.match(source["path"]))}
    task = "image-text-to-text" if facts.images else "text-generation"
    results = _results(facts, task)
    return ModelCardData(
        base_model=base if is_on_hub else None,
        base_model_relation=("finetune" if facts.is_merged else "adapter") if is_on_hub else None,
        license=base_license(facts.base_folder) if base else None,
        datasets=sorted(found) or None,
        library_name="transformers" if facts.is_merged else "peft",
        pipeline_tag=task,
        tags=["sft", *([] if facts.is_merged else ["lora" if _is_lora(facts) else "adapter"])],
        eval_results=results or None,
        model_name=facts.name if results else None,
    )


def _is_lora(facts: CardFacts) -> bool:
    return str(facts.recipe["training"]["peft"].get("peft_type", "")).upper() == "LORA"


def _scores(facts: CardFacts) -> dict[str, float]:
    """Return the scores of the trained model, without those of the base model."""
    return {name: value for name, value in facts.scores.items() if not name.startswith("baseline_")}


def _results(facts: CardFacts, task: str) -> list[EvalResult]:
    """Return the finite scores as the Hub reads them, without the numbers of prompts."""
    return [
        EvalResult(task_type=task, metric_name=name, metric_value=value, **_measured_on(facts, name))
        for name, value in _scores(facts).items()
        if math.isfinite(value) and not name.startswith("num_prompts")
    ]


def _measured_on(facts: CardFacts, score: str) -> dict[str, Any]:
    """Return metric and data set of a score: a task of lm-eval, or the held-out rows.

    The type of a data set is its name on the Hub, which is not known of either. Results are grouped by this type, so
    each task has a type of its own, which cannot be the name of a repository.
    """
    if harness := _HARNESS_SCORE.fullmatch(score):
        task, metric = harness["task"], harness["metric"]
        return {"metric_type": metric, "dataset_type": f"lm_eval:{task}", "dataset_name": task}
    held_out = {split.name: {"digest": split.digest, "rows": split.rows} for split in facts.splits}.get("eval")
    return {
        "metric_type": score,
        "dataset_type": "unknown",
        "dataset_name": "held-out rows",
        "dataset_args": held_out,
    }
