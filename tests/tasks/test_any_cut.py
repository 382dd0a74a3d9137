"""All stages up to packing, for several numbers of workers and sizes of shards: one recipe, one data set."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from sft_core.recipe import Recipe
from sft_core.store.tables import read_table
from tests.tasks.packed_data import pack

pytestmark = pytest.mark.slow

FRACTION, REPEAT, MAX_ROWS, EVAL_FRACTION = 0.7, 1.5, 11, 0.2


def row(number: int) -> dict[str, Any]:
    """Every ninth one is of no format, and every fifth one equals the one of half its number."""
    if number % 9 == 8:
        return {"nothing": number}
    if number % 5 == 0:
        number //= 2
    question, answer = f"What is {number} plus {number}?", f"It is {number + number}." * (1 + number % 4)
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def write_sources(folder: Path) -> None:
    folder.mkdir()
    lines = [json.dumps(row(number)) + "\n" for number in range(60)]
    (folder / "a.jsonl").write_text("\n".join(lines[:40]))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress("".join(lines[25:]).encode(), mtime=0))


def recipe(folder: Path, tokenizer: Path, strategy: str, shard_rows: int, num_workers: int) -> Recipe:
    every = {"shard_rows": shard_rows, "seed": 3}
    return Recipe.model_validate(
        {
            "name": "any",
            "model": {"init": "config", "config": {"model_type": "llama"}, "tokenizer": str(tokenizer)},
            "sources": [
                {"path": str(folder), "name": "both", "fraction": FRACTION, "repeat": REPEAT, **every},
                {"path": str(folder / "*.gz"), "name": "few", "max_rows": MAX_ROWS, **every},
            ],
            "formats": {"eval_fraction": EVAL_FRACTION},
            "chat": {"chat_template_path": "chatml", "assistant_only_loss": True},
            "tokens": {"max_length": 48},
            "packing": {
                "packing": True,
                "packing_strategy": strategy,
                "drop_duplicates": True,
                "shuffle_dataset": True,
            },
            "runtime": {"num_workers": num_workers},
        }
    )


def prepare(recipe: Recipe, root: Path) -> dict[str, Any]:
    """What the flow does, without Prefect; returns all that must not hang on how the work was shared out."""
    data = pack(recipe, root)
    folder, manifest = data.store.path(data.packed), data.store.manifest(data.packed)
    return {
        "splits": manifest.facts["splits"],
        "ledger": manifest.ledger,
        "rejected": (folder / "rejected.jsonl").read_text(),
        "places": [
            (split, place["block"], *manifest.facts["shards"][place["shard"]].values(), place["row"], place["start"])
            for split in manifest.facts["splits"]
            for place in read_table(folder / f"{split}-segments.arrow").to_pylist()
        ],
        "prompts": read_table(folder / "prompts.arrow").to_pylist(),
    }


@pytest.mark.parametrize("strategy", ["bfd", "wrapped"])
def test_neither_the_number_of_workers_nor_the_size_of_shards_can_be_told_from_the_data_set(
    tmp_path: Path, tokenizer_folder: Path, strategy: str
) -> None:
    write_sources(tmp_path / "in")
    ways = [(4096, 1), (7, 2), (5, 4), (1, 1)]  # rows a shard, workers
    made = [
        prepare(recipe(tmp_path / "in", tokenizer_folder, strategy, *way), tmp_path / f"home-{way}") for way in ways
    ]
    assert {split for split, *_ in made[0]["places"]} == {"train", "eval"}
    assert {"exact duplicate of an earlier row", "columns `nothing` fit no known format"} == set(
        made[0]["ledger"].rejected_by_reason
    )
    for way, other in zip(ways[1:], made[1:], strict=True):
        assert other == made[0], way
