"""A small data set, as the tasks prepare it: two sources, an emoji, a long row, a row that is rejected."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sft_core.data.gates import GatesConfig
from sft_core.inspection import Lineage, RowTable, lineage_of
from sft_core.recipe import Recipe
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from tests.tasks.packed_data import pack

MAX_LENGTH = 64
LONG_ROW, EMOJI_ROW, REJECTED_ROW = 3, 5, 7


def sums() -> list[dict[str, str | None]]:
    rows: list[dict[str, str | None]] = [
        {"prompt": f"What is {i} plus {i}?", "completion": f" {i + i}"} for i in range(40)
    ]
    rows[LONG_ROW] = {"prompt": "Count!", "completion": " one two three four" * 20}
    rows[EMOJI_ROW] = {"prompt": "Smile:\n", "completion": " 🙂!"}
    rows[REJECTED_ROW] = {"prompt": "<b>Nobody</b> answers", "completion": None}
    return rows


def chats() -> list[dict[str, object]]:
    return [
        {"messages": [{"role": "user", "content": f"Hi {i}"}, {"role": "assistant", "content": f"Hello {i}"}]}
        for i in range(12)
    ]


@dataclass(frozen=True)
class Prepared:
    """The data set and where it lies."""

    folder: Path
    store: ArtifactStore
    dataset: ArtifactRef
    lineage: Lineage
    table: RowTable


def prepare(folder: Path, tokenizer_folder: Path) -> Prepared:
    """Write the rows, and prepare them in a folder."""
    for name, rows in (("sums", sums()), ("chats", chats())):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = {
        "name": "small",
        "model": {"init": "config", "config": {"model_type": "llama"}, "tokenizer": str(tokenizer_folder)},
        "sources": [{"path": str(folder / f"{name}.jsonl"), "shard_rows": 16} for name in ("sums", "chats")],
        "formats": {"eval_fraction": 0.2},
        "chat": {"chat_template_path": "chatml"},
        "tokens": {"max_length": MAX_LENGTH},
        "packing": {"packing": True},
        "gates": {name: 1 for name in GatesConfig.model_fields if name.endswith("_fraction")},
    }
    return run_prepare(folder, recipe)


def run_prepare(folder: Path, recipe: dict[str, Any]) -> Prepared:
    """Prepare a recipe's data, in a folder that gets a home."""
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    made = pack(Recipe.model_validate(recipe), folder / "home")
    lineage = lineage_of(made.store, made.packed)
    return Prepared(folder, made.store, made.packed, lineage, RowTable.read(lineage))
