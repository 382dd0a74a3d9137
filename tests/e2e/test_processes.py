"""Two training processes are one training, in half the batches each."""

import json
from pathlib import Path

import pytest
from conftest import Workspace

pytestmark = pytest.mark.e2e


def losses(result: dict) -> list[tuple[int, float, float]]:
    lines = (Path(result["artifacts"]["train_model"]) / "metrics.jsonl").read_text().splitlines()
    parsed = [json.loads(line) for line in lines]
    return [(line["step"], line["loss"], line["num_tokens"]) for line in parsed if "loss" in line]


def test_two_processes_give_the_losses_of_one(workspace: Workspace) -> None:
    one = workspace.ok("run", "training.per_device_train_batch_size=4", "evaluation.num_prompts=0")
    two = workspace.ok(
        "run", "training.per_device_train_batch_size=2", "runtime.num_processes=2", "evaluation.num_prompts=0"
    )
    assert two["stages"]["pack_shards"] == "cached"
    for (step, loss, tokens), other in zip(losses(one), losses(two), strict=True):
        assert other == (step, pytest.approx(loss, rel=1e-5), tokens)
    assert two["scorecard"]["eval_loss"] == pytest.approx(one["scorecard"]["eval_loss"], rel=1e-5)
