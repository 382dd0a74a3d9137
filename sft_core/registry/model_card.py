"""The model card of a trained model: a `README.md` with the YAML metadata that the Hugging Face Hub reads, followed by
base model, data, recipe, scores and loading instructions.

The metadata has only what is certain: `base_model` for a base model on the Hub, `license` if the base's own card or
configuration names one, `datasets` for sources on the Hub (https://huggingface.co/docs/hub/model-cards).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sft_core.registry.image_facts import ImageFacts

CARD_FILE = "README.md"
_HEAD = re.compile(r"\A---\s*\n(.*?)\n---", re.DOTALL)
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
    head = yaml.safe_dump(_head(facts), sort_keys=False, allow_unicode=True)
    parts = [_title(facts), _scores(facts), _recipe(facts), _data(facts), _loading(facts), _showing(facts)]
    return f"---\n{head}---\n\n" + "\n".join(part for part in parts if part)


def base_license(folder: Path | None) -> str | None:
    """Return the license named in a model's own card, or else in its configuration; None if neither names one."""
    if folder is None:
        return None
    named: list[Any] = []
    card, config = folder / CARD_FILE, folder / "config.json"
    if card.is_file() and (match := _HEAD.match(card.read_text(encoding="utf-8", errors="replace"))):
        try:
            head = yaml.safe_load(match[1])
        except yaml.YAMLError:
            head = None
        named.append(head.get("license") if isinstance(head, dict) else None)
    if config.is_file():
        fields = json.loads(config.read_bytes())
        named.append(fields.get("license") if isinstance(fields, dict) else None)
    return next((name for name in named if isinstance(name, str) and name), None)


def _base(facts: CardFacts) -> tuple[str | None, bool]:
    """Return the base model's name, or None for random weights, and True if the base model is on the Hub."""
    model = facts.recipe["model"]
    if model["init"] == "config" or model["path"] is None:
        return None, False
    is_folder = Path(model["path"]).expanduser().is_dir()
    return (Path(model["path"]).name if is_folder else model["path"]), not is_folder


def _head(facts: CardFacts) -> dict[str, Any]:
    base, is_on_hub = _base(facts)
    found = {match["repo"] for source in facts.recipe["sources"] if (match := _HUB_DATA.match(source["path"]))}
    relation = "finetune" if facts.is_merged else "adapter"
    head = {
        "base_model": base if is_on_hub else None,
        "base_model_relation": relation if is_on_hub else None,
        "license": base_license(facts.base_folder) if base else None,
        "datasets": sorted(found),
        "library_name": "transformers" if facts.is_merged else "peft",
        "pipeline_tag": "image-text-to-text" if facts.images else "text-generation",
        "tags": ["sft", *([] if facts.is_merged else ["lora" if _is_lora(facts) else "adapter"])],
    }
    return {name: value for name, value in head.items() if value}


def _is_lora(facts: CardFacts) -> bool:
    return str(facts.recipe["training"]["peft"].get("peft_type", "")).upper() == "LORA"


def _title(facts: CardFacts) -> str:
    base, _ = _base(facts)
    made = "Trained from random weights" if base is None else f"Fine-tuned from `{base}`"
    kind = "" if facts.is_merged else ", as an adapter that is loaded on top of its base model"
    chats = "It takes chats, in the format of its tokenizer's chat template."
    takes = chats if facts.is_chat else "It continues plain text."
    return f"# {facts.name}\n\n{made}{kind}. {takes}\n{_images(facts.images)}"


def _images(images: ImageFacts | None) -> str:
    """Describe the image input of the model and the images of its training."""
    if images is None:
        return ""
    if not images.num_images:
        return "\nIntended input: text and images. It was trained on texts alone.\n"
    least, most = f"{images.least_tokens:,}", f"{images.most_tokens:,}"
    tokens = least if least == most else f"{least} to {most}"
    return (
        f"\nIntended input: text and images. It was trained on {images.num_images:,} different images, at most "
        f"{images.most_a_row:,} a row, each of {tokens} tokens.\n"
    )


def _scores(facts: CardFacts) -> str:
    names = [name for name in facts.scores if not name.startswith("baseline_")]
    if not names:
        return ""
    rows = [
        f"| `{name}` | {_number(facts.scores.get(f'baseline_{name}'))} | {_number(facts.scores[name])} |"
        for name in names
    ]
    return "\n".join(["## Scores on held-out rows", "", "| score | before | after |", "| --- | --- | --- |", *rows, ""])


def _recipe(facts: CardFacts) -> str:
    training, tokens, packing = (facts.recipe[section] for section in ("training", "tokens", "packing"))
    summary = {
        "steps": f"{facts.global_step:,}",
        "tokens seen": f"{facts.num_tokens:,}",
        "parameters trained": f"{facts.num_trained_parameters:,} of {facts.num_parameters:,}",
        "learning rate": f"{training['learning_rate']:g}, {training['lr_scheduler_type']}",
        "optimizer": training["optim"],
        "batch": f"{training['per_device_train_batch_size']} a device × {training['gradient_accumulation_steps']}",
        "longest text": f"{tokens['max_length']} tokens",
        "packing": packing["packing_strategy"] if packing["packing"] else "none",
        "seed": str(training["seed"]),
    }
    lines = [f"| {name} | {value} |" for name, value in summary.items()]
    return "\n".join(["## Recipe", "", "All of it is in `recipe.yaml`.", "", "| | |", "| --- | --- |", *lines, ""])


def _data(facts: CardFacts) -> str:
    sources = [f"- `{source['name'] or Path(source['path']).name}`" for source in facts.recipe["sources"]]
    rows = [f"| {split.name} | {split.rows:,} | {split.tokens:,} | `{split.digest}` |" for split in facts.splits]
    table = ["| split | rows | tokens | digest |", "| --- | --- | --- | --- |", *rows]
    return "\n".join(["## Data", "", *sources, "", *table, ""])


def _loading(facts: CardFacts) -> str:
    ask = (
        'ids = tokenizer.apply_chat_template([{"role": "user", "content": "…"}], add_generation_prompt=True, '
        'return_tensors="pt", return_dict=True)'
        if facts.is_chat
        else 'ids = tokenizer("…", return_tensors="pt")'
    )
    request = (
        '{"messages": [{"role": "user", "content": "…"}]'
        if facts.is_chat
        else '{"dataframe_records": [{"prompt": "…"}]'
    )
    more = ', "max_tokens": 100}' if facts.is_chat else ', "params": {"max_tokens": 100}}'
    cls, library = ("AutoModelForCausalLM", "transformers") if facts.is_merged else ("AutoPeftModelForCausalLM", "peft")
    name, takes = "tokenizer", "AutoTokenizer"
    if facts.images is not None:  # transformers puts an adapter on its base by itself
        cls, library, name, takes = "AutoModelForImageTextToText", "transformers", "processor", "AutoProcessor"
        part = '{"type": "image", "url": "…"}, {"type": "text", "text": "…"}'
        ask = (
            f'ids = processor.apply_chat_template([{{"role": "user", "content": [{part}]}}], tokenize=True, '
            'add_generation_prompt=True, return_tensors="pt", return_dict=True)'
            if facts.is_chat
            else 'ids = processor(images=[[…]], text="…", return_tensors="pt")'
        )
    engine = (
        "vllm serve model"
        if facts.is_merged
        else "vllm serve BASE --enable-lora --lora-modules NAME=model    # where it is a LoRA"
    )
    return f"""## Loading

Load `model/`, which is next to `MLmodel` in the folder of the logged model in MLflow, or this folder itself.

```python
from {library} import {cls}
from transformers import {takes}

model, {name} = {cls}.from_pretrained("model"), {takes}.from_pretrained("model")
{ask}
answer = {name}.decode(model.generate(**ids, max_new_tokens=100)[0])
```

```sh
{engine}
sft chat models:/{facts.name}@champion
mlflow models serve -m models:/{facts.name}@champion --env-manager local --port 5001
curl -H 'Content-Type: application/json' -d '{request}{more}' http://127.0.0.1:5001/invocations
```
"""


def _showing(facts: CardFacts) -> str:
    """Describe how to send an image to the model."""
    if facts.images is None or not facts.is_chat:
        return ""
    request = (
        '{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": '
        '{"url": "data:image/png;base64,…"}}, {"type": "text", "text": "…"}]}], "max_tokens": 100}'
    )
    return f"""## Images

With the model loaded as above:

```python
from transformers import AutoProcessor

processor = AutoProcessor.from_pretrained("model")
content = [{{"type": "image", "image": "cat.png"}}, {{"type": "text", "text": "…"}}]
inputs = processor.apply_chat_template(
    [{{"role": "user", "content": content}}],
    add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
)
answer = processor.decode(model.generate(**inputs, max_new_tokens=100)[0])
```

```sh
sft chat models:/{facts.name}@champion --image cat.png
curl -H 'Content-Type: application/json' -d '{request}' http://127.0.0.1:5001/invocations
```
"""


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
