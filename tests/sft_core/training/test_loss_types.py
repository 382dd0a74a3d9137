"""The kinds of loss that a recipe can ask for, in the trainer."""

from pathlib import Path

import pytest
from datasets import Dataset

from sft_core.errors import RecipeError
from tests.sft_core.training.test_train import LLAMA, run, tokenizer_folder, write_blocks

__all__ = ["tokenizer_folder"]


def test_dft_is_trained_and_the_likelihood_evaluated(tmp_path: Path, tokenizer_folder: Path) -> None:
    options = {"max_steps": 1, "per_device_train_batch_size": 13, "eval_strategy": "steps", "eval_on_start": True}
    _, plain = run(tmp_path, tokenizer_folder, "plain", **options)
    _, scaled = run(tmp_path, tokenizer_folder, "scaled", loss_type="dft", **options)
    assert scaled[0]["eval_loss"] == pytest.approx(plain[0]["eval_loss"], rel=1e-6)
    assert scaled[1]["nll"] == pytest.approx(plain[1]["loss"], rel=1e-6)
    assert scaled[1]["loss"] < 0.1 * scaled[1]["nll"]
    assert "nll" not in plain[1]
    assert "eval_nll" not in scaled[0]


MIXTURE = {
    **LLAMA,
    "model_type": "mixtral",
    "num_key_value_heads": 4,
    "num_local_experts": 4,
    "router_aux_loss_coef": 0.5,
}


def test_the_routers_loss_is_told_and_trained_and_can_be_switched_off(tmp_path: Path, tokenizer_folder: Path) -> None:
    """Its size is that of `load_balancing_loss_func`: at least the experts per token, here 2."""
    options = {"model": {"config": MIXTURE}, "max_steps": 1, "per_device_train_batch_size": 13}
    own = run(tmp_path, tokenizer_folder, "own", **options)[1][0]
    off = run(tmp_path, tokenizer_folder, "off", router_aux_loss_coef=0.0, **options)[1][0]
    assert 1.99 < own["aux_loss"] < 4.0
    assert "aux_loss" not in off
    assert own["loss"] == off["loss"], "what is told as the loss is that of the targets alone"
    assert own["grad_norm"] != pytest.approx(off["grad_norm"], rel=1e-4)


def test_the_routers_loss_is_a_mean_over_micro_batches(tmp_path: Path, tokenizer_folder: Path) -> None:
    """Twelve equal micro-batches say what one of them says."""
    blocks = write_blocks(tmp_path / "train", 1, num_blocks=1) * 12
    Dataset.from_list(blocks).save_to_disk(str(tmp_path / "twelve"))
    (tmp_path / "train").rename(tmp_path / "one")
    (tmp_path / "twelve").rename(tmp_path / "train")
    options = {"model": {"config": MIXTURE}, "max_steps": 1, "per_device_train_batch_size": 1}
    one = run(tmp_path, tokenizer_folder, "one_batch", **options)[1][0]
    many = run(tmp_path, tokenizer_folder, "many", gradient_accumulation_steps=12, **options)[1][0]
    for name in ("loss", "aux_loss", "grad_norm"):
        assert many[name] == pytest.approx(one[name], rel=1e-5), name


def test_a_factor_for_a_router_that_is_not_there_is_refused(tmp_path: Path, tokenizer_folder: Path) -> None:
    with pytest.raises(RecipeError, match="router_aux_loss_coef: expected a mixture of experts"):
        run(tmp_path, tokenizer_folder, router_aux_loss_coef=0.1)
