"""Registration of a training's checkpoints as logged models of MLflow, without copying them."""

from collections.abc import Mapping
from pathlib import Path

import orjson

from sft_core.training import METRICS_FILE, whole_checkpoints
from tasks.tracking import TrackedRun, log_checkpoint

EVAL = "eval_"


def log_checkpoints(run: TrackedRun, training: Path, tags: Mapping[str, str], data: tuple[str, str] | None) -> None:
    """Log each checkpoint that was kept, with the scores of the evaluation at its step.

    Args:
        run: The run of the training.
        training: The training's folder; it has checkpoints only with `training.keep_checkpoints`.
        tags: Tags of the logged models, with the artifacts that they were made from.
        data: Name and digest of the held-out data; None if there is no such data, and so no scores.
    """
    checkpoints = whole_checkpoints(training)
    lines = [orjson.loads(line) for line in (training / METRICS_FILE).read_bytes().splitlines()] if checkpoints else []
    for checkpoint in checkpoints:
        step = checkpoint.manifest.step
        model_id = log_checkpoint(run, step, checkpoint.folder, tags)
        for line in lines:
            if data is not None and line["step"] == step:
                scores = {name: float(value) for name, value in line.items() if name.startswith(EVAL)}
                run.record_model_scores(model_id, step, scores, data, int(line["time"] * 1000))
