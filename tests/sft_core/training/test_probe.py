"""The trainer's probe is what its model in memory says, and the delivered folder says the same."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sft_core.modeling import Probe, difference, load_trained, probe_logits
from tests.sft_core.modeling.tiny_models import random_ref, saved_ref, tiny_model
from tests.sft_core.training.test_parts import run, write_texts

LORA = {"peft": {"peft_type": "LORA", "r": 4, "target_modules": "all-linear"}}
PROMPT = {"peft": {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3}}


@pytest.mark.parametrize(
    "options",
    [{}, {"bf16": True}, LORA, {**LORA, "merge_adapter": False}, PROMPT],
    ids=["full", "autocast", "merged", "kept apart", "virtual tokens"],
)
def test_the_delivered_folder_gives_the_logits_of_the_model_in_memory(tmp_path: Path, options: dict[str, Any]) -> None:
    write_texts(tmp_path / "train")
    output, _, _ = run(tmp_path, saved_ref(tmp_path / "base", tiny_model()), **options)
    probe = Probe.read(output / "probe.safetensors")
    assert probe.precision == "float32", "autocast is off meanwhile"
    assert [len(text) for text in probe.texts] == [len(part) for part in probe.logits]
    stored = probe_logits(load_trained(output / "model").eval(), probe.texts, torch.device("cpu"))
    assert difference(probe.logits, stored) < 1e-5
    untrained = probe_logits(tiny_model().eval(), probe.texts, torch.device("cpu"))
    assert difference(probe.logits, untrained) > 0.01


def test_weights_of_16_bits_are_compared_in_16_bits(tmp_path: Path) -> None:
    write_texts(tmp_path / "train")
    output, _, _ = run(tmp_path, random_ref(dtype="bfloat16"))
    probe = Probe.read(output / "probe.safetensors")
    assert probe.precision == "bfloat16"
    stored = load_trained(output / "model").eval()
    assert stored.dtype == torch.bfloat16
    assert difference(probe.logits, probe_logits(stored, probe.texts, torch.device("cpu"))) < 1e-2
