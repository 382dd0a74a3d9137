"""Training a part of a model through the trainer: adapters, last layers, new tokens, virtual tokens."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from sft_core.errors import RecipeError
from sft_core.modeling import as_token_sums, choose_trained, evaluate_batches, load_model, load_trained
from sft_core.modeling.batches import Blocks, Collator
from sft_core.pretrained.model import ModelRef
from sft_core.training import TrainingConfig, TrainPlan
from sft_core.training.run import train
from tests.sft_core.modeling.tiny_models import LLAMA, VOCABULARY, random_ref, saved_ref, tiny_model, tiny_tokenizer

LORA = {"peft_type": "LORA", "r": 4, "lora_alpha": 8}
RATE = 1.0


def write_texts(folder: Path, num_texts: int = 10, ids: tuple[int, ...] = ()) -> list[list[int]]:
    """Texts of 3 to 8 tokens, all of them targets; `ids` stand in each."""
    random = np.random.default_rng(1)
    texts = [[*random.integers(2, VOCABULARY, random.integers(3, 8)).tolist(), *ids] for _ in range(num_texts)]
    rows = [{"input_ids": text, "seq_lengths": [len(text)], "loss_mask": [1] * len(text)} for text in texts]
    Dataset.from_list(rows).save_to_disk(str(folder))
    return texts


def run(folder: Path, ref: ModelRef, **training: Any) -> tuple[Path, list[dict[str, Any]], dict[str, Any]]:
    """Train on the texts in `folder/train`; return the output folder, the lines of metrics, and the result."""
    tiny_tokenizer().save_pretrained(folder / "tokenizer")
    output = folder / "out"
    output.mkdir()
    options: dict[str, Any] = {
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "optim": "sgd",
        "max_grad_norm": 0,
        "logging_steps": 1,
        "max_steps": 5,
        "per_device_train_batch_size": 10,
    }
    plan = TrainPlan(
        training=TrainingConfig(**{**options, **training}),
        model=ref,
        tokenizer_folder=folder / "tokenizer",
        chat_template=None,
        trust_remote_code=False,
        train_folder=folder / "train",
        eval_folder=None,
        output_folder=output,
        num_processes=1,
    )
    train(plan)
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return output, lines, json.loads((output / "result.json").read_text())


def by_hand(model: Any, texts: list[list[int]], steps: int) -> list[float]:
    """The mean loss over all targets of each step of plain gradient descent, text by text."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    losses = []
    for _ in range(steps):
        ids = [torch.tensor([text]) for text in texts]
        total = sum(
            torch.nn.functional.cross_entropy(model(input_ids=text).logits[0, :-1], text[0, 1:], reduction="sum")
            for text in ids
        )
        loss = total / sum(len(text) - 1 for text in texts)
        losses.append(loss.item())
        for parameter, gradient in zip(trained, torch.autograd.grad(loss, trained), strict=True):
            parameter.data -= RATE * gradient
    return losses


@pytest.mark.parametrize(
    "part",
    [
        {"peft": LORA},
        {"peft": {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3}},
        {"peft": {"peft_type": "IA3", "target_modules": ["v_proj", "lm_head"], "feedforward_modules": []}},
        {"num_layers_unfrozen": 1},
    ],
    ids=["lora", "prompt tuning", "a scale on the head", "last layer"],
)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_five_steps_are_those_of_a_loop_written_by_hand(
    tmp_path: Path, part: dict[str, Any], checkpointing: bool
) -> None:
    texts = write_texts(tmp_path / "train")
    ref = saved_ref(tmp_path / "base", tiny_model(), attn_implementation="auto")
    _, lines, result = run(tmp_path, ref, **part, gradient_checkpointing=checkpointing, bf16=False)
    model = choose_trained(
        load_model(ref, tiny_tokenizer(), 42), part.get("peft", {}), part.get("num_layers_unfrozen", -1), seed=42
    )
    losses = by_hand(model, texts, 5)
    assert [line["loss"] for line in lines] == pytest.approx(losses, rel=1e-5)
    assert losses[-1] < losses[0] * (1 - 1e-5), "something was learned"
    assert 0 < result["num_trained_parameters"] < result["num_parameters"]


def test_a_lora_training_leaves_a_model_that_transformers_loads_and_the_adapter(tmp_path: Path) -> None:
    write_texts(tmp_path / "train")
    ref = saved_ref(tmp_path / "base", tiny_model())
    output, _, result = run(tmp_path, ref, peft=LORA)
    assert result["is_merged"]
    assert (output / "adapter" / "adapter_model.safetensors").exists()
    plain = AutoModelForCausalLM.from_pretrained(output / "model")
    assert AutoTokenizer.from_pretrained(output / "model").eos_token == "<eos>"
    before, after = (
        model.model.layers[0].self_attn.q_proj.weight
        for model in (AutoModelForCausalLM.from_pretrained(ref.path), plain)
    )
    assert not torch.allclose(before, after)


def test_the_last_line_of_metrics_continues_in_the_delivered_model(tmp_path: Path) -> None:
    """The loss that a sixth step would begin with is the one of what was saved, merged or not."""
    write_texts(tmp_path / "train")
    ref = saved_ref(tmp_path / "base", tiny_model())
    longer = run(tmp_path, ref, peft=LORA, max_steps=6)[1]
    for merge_adapter in (True, False):
        (tmp_path / "out").rename(tmp_path / f"out-before-{merge_adapter}")
        output, _, result = run(tmp_path, ref, peft=LORA, merge_adapter=merge_adapter)
        assert result["is_merged"] == merge_adapter
        blocks = Blocks(tmp_path / "train")
        batch = Collator(0)([blocks[index] for index in range(len(blocks))])
        sums = evaluate_batches(load_trained(output / "model"), [batch], torch.device("cpu"))
        assert as_token_sums(sums).means()["loss"] == pytest.approx(longer[-1]["loss"], rel=1e-5)


def test_a_new_token_is_learned_under_lora_and_saved_with_its_tokenizer(tmp_path: Path) -> None:
    write_texts(tmp_path / "train", ids=(VOCABULARY,))
    ref = saved_ref(tmp_path / "base", tiny_model(tie_word_embeddings=True), additional_special_tokens=("<think>",))
    output, lines, _ = run(tmp_path, ref, peft=LORA, max_steps=20)
    model = AutoModelForCausalLM.from_pretrained(output / "model")
    row = model.get_input_embeddings().weight[VOCABULARY]
    mean = model.get_input_embeddings().weight[:VOCABULARY].mean(0)
    assert (row - mean).norm() > 0.05, "the other rows stand still, so their mean is what it began with"
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.1
    tokenizer = AutoTokenizer.from_pretrained(output / "model")
    assert tokenizer.convert_tokens_to_ids("<think>") == VOCABULARY
    assert "<think>" in tokenizer.all_special_tokens


def test_a_text_longer_than_the_models_positions_is_refused_before_the_first_step(tmp_path: Path) -> None:
    write_texts(tmp_path / "train")
    with pytest.raises(RecipeError, match="it has 5 positions, and the longest text has 7 tokens"):
        run(tmp_path, random_ref(config={**LLAMA, "max_position_embeddings": 5}))


def test_virtual_tokens_count_as_positions(tmp_path: Path) -> None:
    write_texts(tmp_path / "train")
    prompt = {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3}
    with pytest.raises(RecipeError, match="it has 9 positions, and the longest text has 10 tokens"):
        run(tmp_path, random_ref(config={**LLAMA, "max_position_embeddings": 9}), peft=prompt)


def test_activation_offloading_on_a_cpu_changes_nothing_and_says_so(tmp_path: Path) -> None:
    write_texts(tmp_path / "train")
    plain = run(tmp_path, random_ref(), bf16=False)[1]
    (tmp_path / "out").rename(tmp_path / "plain")
    with pytest.warns(UserWarning, match="there is no GPU"):
        lines = run(tmp_path, random_ref(), bf16=False, activation_offloading=True)[1]
    assert [line["loss"] for line in lines] == [line["loss"] for line in plain]
