"""Versions in a registry on a sqlite file, as a run would leave them, without weights."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from sft_core.store.records import SCORED_ITEMS
from sft_core.store.tables import write_arrow
from tasks.tracking import RegisteredVersion, Tracker

NAME = "sums"


def register(
    tracker: Tracker,
    folder: Path,
    eval_loss: float | None,
    losses: Sequence[float] = (),
    name: str = NAME,
    **tags: str,
) -> RegisteredVersion:
    """Register a version with a score and, where losses of rows are given, the evidence for it."""
    client = tracker.client
    run = client.create_run(tracker.experiment_id)
    model = client.create_logged_model(tracker.experiment_id, name="m", source_run_id=run.info.run_id)
    (beside := folder / model.model_id).mkdir(parents=True)
    (beside / "recipe.yaml").write_text("registry: {gate: {min_gain: 0.25}}\n")
    if losses:
        write_arrow(beside / "scored_items.arrow", items(losses))
    client.log_model_artifacts(model.model_id, str(beside))
    client.finalize_logged_model(model.model_id, "READY")
    client.set_terminated(run.info.run_id, "FINISHED")
    scores = {} if eval_loss is None else {"eval_loss": eval_loss}
    known = {
        "sft.scorecard": json.dumps(scores),
        "sft.data_digest.eval": "d",
        "sft.rows_digest.eval": "r",
        "sft.template_digest": "t",
        "sft.tokenizer_digest": "k",
    }
    version = tracker.registry.register(name, model.model_id, run.info.run_id, {**known, **tags})
    return tracker.registry.version(name, version)


def items(losses: Sequence[float]) -> pa.Table:
    rows: list[dict[str, Any]] = [
        {"metric": "eval_loss", "source": "s", "row": row, "numerator": loss, "denominator": 1.0}
        for row, loss in enumerate(losses)
    ]
    return pa.Table.from_pylist(rows, SCORED_ITEMS)
