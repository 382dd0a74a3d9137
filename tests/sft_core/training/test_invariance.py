"""Eight blocks a step are eight blocks a step: what is reported and what comes out does not depend on how many of them
are computed at a time, in which layout, and by how many processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.numpy import load_file

from sft_core.training.run import train
from tests.sft_core.training.tiny_training import VOCABULARY, TinyTraining, tiny_training

pytestmark = pytest.mark.slow

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "attn_pdrop": 0.0,
}
OPTIONS: dict[str, Any] = {"max_steps": 10, "logging_steps": 1, "eval_strategy": "steps", "eval_steps": 5}
METRICS = (
    "loss",
    "entropy",
    "mean_token_accuracy",
    "grad_norm",
    "eval_loss",
    "eval_entropy",
    "eval_mean_token_accuracy",
)
TOLERANCE = 1e-5


def write_texts(folder: Path, seed: int) -> None:
    """Thirteen blocks of one text of 2 to 12 tokens, all of them targets."""
    random = np.random.default_rng(seed)
    texts = [random.integers(2, VOCABULARY, random.integers(2, 13)).tolist() for _ in range(13)]
    rows = [{"input_ids": text, "seq_lengths": [len(text)], "loss_mask": [1] * len(text)} for text in texts]
    Dataset.from_list(rows).save_to_disk(str(folder))


def lay_out(
    root: Path, batch: int, accumulation: int, processes: int = 1, attention: str = "auto", eval_batch: int = 8
) -> TinyTraining:
    """A training with so many blocks at a time; blocks of `root/train` and `root/eval`, packed if they are not there
    yet."""
    name = f"{batch}x{accumulation}x{processes}-{attention}-{eval_batch}"
    sizes = {
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": accumulation,
        "per_device_eval_batch_size": eval_batch,
    }
    training = tiny_training(root, name, processes, LLAMA, **{**OPTIONS, "learning_rate": 1e-3, **sizes})
    model = training.plan.model.model_copy(update={"attn_implementation": attention})
    return TinyTraining(training.plan.model_copy(update={"model": model}))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small are slower on several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["packed", "unpacked"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TinyTraining:
    """Eight blocks at a time, padding-free."""
    root = tmp_path_factory.mktemp(request.param)
    training = lay_out(root, 8, 1)
    if request.param == "unpacked":
        for split, seed in (("train", 1), ("eval", 2)):
            write_texts(root / split, seed)
    train(training.plan)
    assert training.result()["padding_free"]
    return training


def assert_equal(found: TinyTraining, expected: TinyTraining) -> None:
    lines = expected.lines()
    assert len(lines) == 10 + 3
    for line, other in zip(lines, found.lines(), strict=True):
        assert line.keys() == other.keys()
        assert [line.get("num_tokens"), line["step"]] == [other.get("num_tokens"), other["step"]]
        for name in METRICS:
            if name in line:
                assert other[name] == pytest.approx(line[name], rel=TOLERANCE), (name, line["step"])
    weights, others = (load_file(one.folder / "model" / "model.safetensors") for one in (expected, found))
    assert weights.keys() == others.keys()
    for name, weight in weights.items():
        np.testing.assert_allclose(others[name], weight, rtol=0, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize(
    ("batch", "accumulation", "attention", "eval_batch"),
    [(4, 2, "auto", 8), (1, 8, "auto", 1), (8, 1, "sdpa", 1), (1, 8, "sdpa", 8), (4, 2, "eager", 8)],
)
def test_the_numbers_do_not_depend_on_what_is_computed_at_a_time(
    whole: TinyTraining, batch: int, accumulation: int, attention: str, eval_batch: int
) -> None:
    parts = lay_out(whole.folder.parent, batch, accumulation, 1, attention, eval_batch)
    train(parts.plan)
    assert parts.result()["padding_free"] == (attention == "auto")
    assert_equal(parts, whole)


def test_two_processes_do_what_one_does(whole: TinyTraining) -> None:
    both = lay_out(whole.folder.parent, 2, 2, processes=2, eval_batch=1)
    both.finish()
    assert_equal(both, whole)
