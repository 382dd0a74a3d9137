"""Answers while a model is trained: what is reported, what goes by it, and that training does not notice."""

import contextlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, TrainingArguments

from sft_core.errors import RecipeError
from sft_core.evaluation.answering import AnsweringConfig, locate_scoring
from sft_core.pretrained.model import ModelRef
from sft_core.store.records import PROMPTS
from sft_core.store.tables import write_table
from sft_core.training import TrainingConfig, TrainPlan
from sft_core.training.best import settle_best_metric
from sft_core.training.run import train
from sft_core.training.undisturbed import undisturbed

VOCABULARY = 48
LLAMA = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "attention_dropout": 0.2,
}
SAMPLING = {"max_new_tokens": 4, "do_sample": True, "temperature": [0.7, 1.5]}
EVERY_STEP = {"eval_strategy": "steps", "eval_steps": 1, "eval_on_start": True}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tokenizer, blocks of both splits, and five prompts."""
    words = {"<pad>": 0, "<eos>": 1, **{f"w{i}": i for i in range(2, VOCABULARY)}}
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<eos>")), pad_token="<pad>", eos_token="<eos>"
    ).save_pretrained(tmp_path / "tokenizer")
    numbers = np.random.default_rng(0)
    for split in ("train", "eval"):
        blocks = [
            {"input_ids": numbers.integers(2, VOCABULARY, 9).tolist(), "seq_lengths": [5, 4], "loss_mask": [1] * 9}
            for _ in range(8)
        ]
        Dataset.from_list(blocks).save_to_disk(str(tmp_path / split))
    rows = [
        {"source": "s", "row": i, "prompt_ids": [2 + i] * (1 + i), "reference": f"w{i}", "metadata": f'{{"n": {i}}}'}
        for i in range(5)
    ]
    write_table(tmp_path / "prompts.arrow", PROMPTS, rows)
    return tmp_path


def run(folder: Path, name: str, answering: dict[str, Any] | None = None, **training: Any) -> tuple[Path, list[dict]]:
    output = folder / name
    output.mkdir()
    options = {"learning_rate": 1e-2, "logging_steps": 1, "max_steps": 4, "per_device_train_batch_size": 2}
    config = None if answering is None else AnsweringConfig(**{"num_prompts": 3, **answering})
    plan = TrainPlan(
        training=TrainingConfig(**{**options, **training}),
        model=ModelRef(
            path=None,
            commit=None,
            init="config",
            config=LLAMA,
            dtype="float32",
            attn_implementation="eager",
            trust_remote_code=False,
            content_digest="x",
        ),
        tokenizer_folder=folder / "tokenizer",
        chat_template=None,
        trust_remote_code=False,
        train_folder=folder / "train",
        eval_folder=folder / "eval",
        prompts=folder / "prompts.arrow" if config else None,
        answering=config,
        **({"scoring": locate_scoring(config)} if config else {}),
        output_folder=output,
        num_processes=1,
    )
    train(plan)
    return output, [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def trained(lines: list[dict]) -> list[tuple[float, float]]:
    return [(line["loss"], line["grad_norm"]) for line in lines if "loss" in line]


def samples_of(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "samples.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_training_with_dropout_is_equal_to_the_bit_with_and_without_evaluation_and_sampled_answers(
    folder: Path, gradient_checkpointing: bool
) -> None:
    options = {"gradient_checkpointing": gradient_checkpointing}
    alone, plain = run(folder, "plain", **options)
    also, asked = run(folder, "asked", {"gen_kwargs": SAMPLING}, **EVERY_STEP, **options)
    assert trained(plain) == trained(asked)
    assert (alone / "model" / "model.safetensors").read_bytes() == (also / "model" / "model.safetensors").read_bytes()


def test_dropout_is_at_work_in_that_comparison(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = run(folder, "plain")[1]
    monkeypatch.setitem(LLAMA, "attention_dropout", 0.0)
    assert trained(run(folder, "without")[1]) != trained(plain)


def test_scores_stand_in_the_line_of_the_loss_and_samples_say_at_which_step(folder: Path) -> None:
    config = {"gen_kwargs": SAMPLING, "metrics": ["exact_match", "f1"]}
    output, lines = run(folder, "out", config, **{**EVERY_STEP, "eval_steps": 2})
    evaluated = [line for line in lines if "eval_loss" in line]
    assert [line["step"] for line in evaluated] == [0, 2, 4]
    names = {"exact_match", "f1"}
    suffixed = {f"eval_{name}/temperature:{t}" for name in names for t in (0.7, 1.5)}
    for line in evaluated:
        assert {f"eval_{name}" for name in names} | suffixed <= line.keys()
        assert line["eval_f1"] == max(line["eval_f1/temperature:0.7"], line["eval_f1/temperature:1.5"])
    samples = samples_of(output)
    assert [sample["step"] for sample in samples] == [step for step in (0, 2, 4) for _ in range(3 * 2)]
    assert [sample["row"] for sample in samples[:6]] == [0, 2, 4, 0, 2, 4]
    for line in evaluated:
        own = [s["f1"] for s in samples if s["step"] == line["step"] and s["temperature"] == 1.5]
        assert line["eval_f1/temperature:1.5"] == pytest.approx(sum(own) / 3)


SCRIPTED = """
CALLS = iter([0.0, {values}])          # the first call is the trial before training

def score(outputs):
    return {{"{name}": next(CALLS)}}
"""


def scripted(path: Path, *values: float, name: str = "reward") -> str:
    """A metric that has one value after the other."""
    path.write_text(SCRIPTED.format(values=", ".join(map(str, values)), name=name))
    return f"{path}:score"


@pytest.mark.parametrize(
    ("name", "values", "options", "last_step"),
    [
        # up: the best is the second, two evaluations are no better
        ("reward", [1.0, 3.0, 2.0, 3.0, 9.0], {}, 4),
        # an improvement by less than the threshold is none
        ("reward", [1.0, 1.4, 1.5, 9.0], {"early_stopping_threshold": 0.6}, 3),
        # losses: down
        ("my_loss", [3.0, 1.0, 2.0, 1.0, 0.0], {}, 4),
        # as the recipe says
        ("reward", [3.0, 1.0, 2.0, 1.0, 0.0], {"greater_is_better": False}, 4),
        ("reward", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], {}, 6),
    ],
)
def test_training_stops_early_by_any_metric(
    folder: Path, name: str, values: list[float], options: dict, last_step: int
) -> None:
    config = {"metrics": [scripted(folder / "scripted.py", *values, name=name)], "gen_kwargs": {"max_new_tokens": 1}}
    going_by = {"metric_for_best_model": name, "early_stopping_patience": 2, "max_steps": 6, **options}
    _, lines = run(folder, "out", config, eval_strategy="steps", eval_steps=1, **going_by)
    told = [line[f"eval_{name}"] for line in lines if f"eval_{name}" in line]
    assert told == values[:last_step]
    assert lines[-1]["step"] == last_step


def test_under_a_sweep_the_best_of_all_settings_counts_or_the_one_that_is_named(folder: Path) -> None:
    sweep = {"max_new_tokens": [1, 2]}
    # of each evaluation, the values of both settings: the best rises until the third, the first setting never
    values = [1.0, 0.0, 1.0, 2.0, 1.0, 3.0, 1.0, 2.0, 1.0, 2.0, 1.0, 9.0]
    for number, (metric, last_step) in enumerate([("reward", 5), ("eval_reward", 5), ("reward/max_new_tokens:1", 3)]):
        config = {"metrics": [scripted(folder / f"scripted{number}.py", *values)], "gen_kwargs": sweep}
        going_by = {"metric_for_best_model": metric, "early_stopping_patience": 2, "max_steps": 6}
        _, lines = run(folder, f"out{number}", config, eval_strategy="steps", eval_steps=1, **going_by)
        assert lines[-1]["step"] == last_step


@pytest.mark.parametrize(
    ("metric", "answers", "message"),
    [
        ("exact_mach", ["exact_match"], "no metric 'exact_mach'; did you mean 'exact_match'?"),
        ("eval_zzz", ["f1"], "no metric 'zzz'; there are loss, entropy, mean_token_accuracy, f1"),
        ("exact_match", [], "with training.num_eval_prompts there would be the metrics of `evaluation` as well"),
    ],
)
def test_a_metric_that_evaluations_will_not_have_is_found_before_training(
    tmp_path: Path, metric: str, answers: list[str], message: str
) -> None:
    arguments = TrainingArguments(output_dir=str(tmp_path), metric_for_best_model=metric, use_cpu=True)
    with pytest.raises(RecipeError) as caught:
        settle_best_metric(arguments, None, answers)
    assert message in str(caught.value)


def test_of_a_likelihood_of_the_users_own_less_is_better(tmp_path: Path) -> None:
    arguments = TrainingArguments(output_dir=str(tmp_path), metric_for_best_model="nll", use_cpu=True)
    settle_best_metric(arguments, None, ["nll"])
    assert arguments.greater_is_better is False


def test_an_unknown_metric_stops_the_run_before_its_first_step(folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"no metric 'reward'; there are loss, .*, exact_match"):
        run(folder, "out", {}, metric_for_best_model="reward", **EVERY_STEP)
    assert not (folder / "out" / "metrics.jsonl").exists()


def test_a_metric_that_does_not_work_stops_the_run_before_its_first_step(folder: Path) -> None:
    (folder / "broken.py").write_text("def score(outputs):\n    return {'x': [1.0]}\n")
    with pytest.raises(RecipeError, match="'x' has 1 values for 3 answers"):
        run(folder, "out", {"metrics": [f"{folder / 'broken.py'}:score"]}, **EVERY_STEP)
    assert not (folder / "out" / "metrics.jsonl").exists()


def test_random_numbers_and_modes_are_put_back_even_after_an_error() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Dropout()).train()
    model[1].eval()

    def draw() -> list[float]:
        return [random.random(), float(np.random.random()), torch.rand(1).item()]

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    expected = draw()
    random.setstate(states[0]), np.random.set_state(states[1]), torch.set_rng_state(states[2])
    with contextlib.suppress(ZeroDivisionError), undisturbed(model):
        draw()
        model.eval()
        raise ZeroDivisionError
    assert draw() == expected
    assert [module.training for module in model.modules()] == [True, True, False]
