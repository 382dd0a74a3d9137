"""A small MLflow store, written as the flow writes it: four runs of two recipes, three models, no training."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sft_core.data.chat import TemplateRef
from sft_core.data.sources import locate_sources
from sft_core.pretrained.model import locate_model
from sft_core.pretrained.tokenizer import TokenizerRef
from sft_core.recipe import Recipe
from sft_core.recipe.inputs import DataInputs
from sft_core.store.file_digests import FileDigests
from sft_core.store.ledger import Ledger
from tasks.tracking import TrackedRun, Tracker, log_model, log_origin, log_stages
from tasks.tracking.lookup.history import History
from tests.fresh_mlflow import open_sqlite

ONE_SET, OTHER_SET = "1" * 32, "2" * 32
"""Digests of held-out data."""


@dataclass(frozen=True)
class Small:
    """The store, and what is in it."""

    folder: Path
    tracker: Tracker
    tokenizer: TokenizerRef
    runs: dict[str, str]
    """Name → run id: `first`, `second` (another learning rate and file), `other` (another recipe), `failed`."""
    models: dict[str, str]
    """Name → id of the logged model."""

    @property
    def history(self) -> History:
        return History(self.tracker.client, self.tracker.tracking_uri, self.folder / "home")

    def recipe(self, name: str, learning_rate: float = 1e-4, **fields: Any) -> Recipe:
        """A recipe over `<name>/*.jsonl`."""
        content = {
            "name": name,
            "model": {"init": "config", "config": {"model_type": "llama"}, "tokenizer": str(self.tokenizer.folder)},
            "sources": [{"path": str(self.folder / name / "*.jsonl"), "name": "rows"}],
            "training": {"learning_rate": learning_rate},
            **fields,
        }
        return Recipe.model_validate(content)

    def log_origin(self, run: TrackedRun, recipe: Recipe) -> None:
        digests = FileDigests.below(self.folder / "home")
        inputs = DataInputs(locate_sources(recipe.sources, digests), self.tokenizer, TemplateRef())
        log_origin(run, recipe, inputs, locate_model(recipe.model, digests), self.folder / "home", digests)

    def add(self, name: str, recipe: Recipe, eval_digest: str, scores: dict[str, float], register: bool = True) -> None:
        """A whole run, with a model."""
        packed = self.folder / "packed"
        packed.mkdir(exist_ok=True)
        (packed / "rejected.jsonl").touch()
        facts = {"rows": 10, "tokens": 100, "blocks": 2}
        splits = {"train": {**facts, "digest": f"{name:0<32}"}, "eval": {**facts, "digest": eval_digest}}
        weights = self.folder / "weights"
        weights.mkdir(exist_ok=True)
        (weights / "config.json").write_text("{}")
        beside = self.folder / f"beside-{name}"
        beside.mkdir()
        with self.tracker.run(recipe, name) as run:
            self.runs[name] = run.run_id
            self.log_origin(run, recipe)
            log_stages(run, {"pack_shards": "a" * 32, "tokenize_chats": "b" * 16})
            run.log_dataset(recipe.name, packed, splits, Ledger())
            run.record_scorecard(scores, 3, packed / "rejected.jsonl")
            tags = {"sft.scorecard": json.dumps(scores), "sft.data_digest.eval": eval_digest}
            self.models[name] = log_model(run, recipe.model_name, weights, beside, 3, tags)
        if register:
            version = self.tracker.registry.register(recipe.model_name, self.models[name], run.run_id, tags)
            self.tracker.registry.set_alias(recipe.model_name, "champion", version)


def write_rows(folder: Path, name: str, rows: int) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("".join(json.dumps({"text": f"{name} {row}"}) + "\n" for row in range(rows)), encoding="utf-8")
    return path


def make_small(folder: Path, tokenizer: TokenizerRef) -> Small:
    """Fill the store."""
    (folder / "home").mkdir()
    small = Small(folder, open_sqlite(folder, "home"), tokenizer, {}, {})
    write_rows(folder / "sums", "a.jsonl", 3)
    write_rows(folder / "sums", "b.jsonl", 4)
    small.add("first", small.recipe("sums"), ONE_SET, {"eval_loss": 2.0, "exact_match": 0.1})
    write_rows(folder / "sums", "b.jsonl", 5)
    write_rows(folder / "sums", "c.jsonl", 1)
    small.add("second", small.recipe("sums", 2e-4), ONE_SET, {"eval_loss": 1.5, "exact_match": 0.3})
    for number in range(40):
        write_rows(folder / "many", f"{number:02d}.jsonl", number + 1)
    small.add("other", small.recipe("many"), OTHER_SET, {"eval_loss": 0.5}, register=False)
    try:
        with small.tracker.run(small.recipe("sums"), "failed") as run:
            small.runs["failed"] = run.run_id
            small.log_origin(run, small.recipe("sums"))
            raise RuntimeError("on purpose")
    except RuntimeError:
        return small
    raise AssertionError("the run failed")
