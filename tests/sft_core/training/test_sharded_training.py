"""A training whose weights, gradients and optimizer states are sharded (FSDP2) says what one process says, and goes on
from a checkpoint to the last bit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sft_core.evaluation.answering import AnsweringConfig, locate_scoring
from sft_core.modeling import Probe, difference
from sft_core.store.records import PROMPTS
from sft_core.store.tables import write_table
from sft_core.training.checkpoints import newest_checkpoint
from sft_core.training.run import train
from tests.sft_core.training.test_invariance import LLAMA, assert_equal, lay_out, one_thread
from tests.sft_core.training.tiny_training import TinyTraining, tiny_training

pytestmark = pytest.mark.slow

__all__ = ["one_thread"]

SHARDED = "tests.sft_core.training.sharded"
LORA = {"peft": {"peft_type": "LORA", "r": 4}}


@pytest.mark.parametrize(
    ("state_dict", "options"),
    [("FULL_STATE_DICT", LORA), ("SHARDED_STATE_DICT", {})],
    ids=["an adapter, written whole", "all weights, each process its part"],
)
def test_sharded_it_goes_on_to_the_last_bit(
    tmp_path: Path, state_dict: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSDP_STATE_DICT_TYPE", state_dict)
    straight, broken = (
        replace(tiny_training(tmp_path, name, 2, LLAMA, **{"num_train_epochs": 4, **options}), module=SHARDED)
        for name in ("straight", "broken")
    )
    straight.finish()
    process = broken.run_until(lambda: newest_checkpoint(broken.folder) is not None)
    broken.kill(process)
    killed_at = newest_checkpoint(broken.folder)
    assert killed_at is not None
    broken.finish()
    assert broken.result()["resumed_from"] == killed_at.manifest.step
    assert broken.outcome() == straight.outcome()


def answering(training: TinyTraining) -> TinyTraining:
    """The same with answers to three of five prompts."""
    prompts = training.folder.parent / "prompts.arrow"
    rows = [
        {"source": "s", "row": i, "prompt_ids": [2 + i] * (1 + i), "reference": f"w{i}", "metadata": "{}"}
        for i in range(5)
    ]
    write_table(prompts, PROMPTS, rows)
    config = AnsweringConfig(num_prompts=3, gen_kwargs={"max_new_tokens": 4}, metrics=["chrf"])
    asked = {"prompts": prompts, "answering": config, "scoring": locate_scoring(config)}
    return replace(training, plan=training.plan.model_copy(update=asked))


def samples(training: TinyTraining) -> str:
    return (training.folder / "samples.jsonl").read_text()


def test_sharded_or_not_the_numbers_and_the_answers_are_the_same(tmp_path: Path) -> None:
    whole = answering(lay_out(tmp_path, 8, 1))
    train(whole.plan)
    sharded = replace(answering(lay_out(tmp_path, 2, 2, processes=2)), module=SHARDED)
    sharded.finish()
    assert_equal(sharded, whole)
    assert samples(sharded) == samples(whole) != ""
    one, other = (Probe.read(training.folder / "probe.safetensors") for training in (whole, sharded))
    assert [text.tolist() for text in one.texts] == [text.tolist() for text in other.texts]
    assert difference(one.logits, other.logits) < 1e-4
