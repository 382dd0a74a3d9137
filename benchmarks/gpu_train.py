"""Training on a GPU, ours and TRL's: `PYTHONPATH=. python benchmarks/gpu_train.py`.

Llama-shaped models of 0.5B and 1.2B parameters with random weights, full fine-tuning: weights in float32, arithmetic in
bfloat16, the defaults of both systems. Rows have log-normal lengths (median 300 tokens, σ 0.9, so a mean of 450), and
the first 40 % of each is a prompt that is not trained on; they are packed to 4,096 and 8,192 tokens. Both systems get
the same blocks, one per step, each in a process of its own, in turn. A step ends when the GPU has finished it.

The table has medians over steps after the warm-up. Tokens exclude padding. Memory is the peak of the memory of tensors.
The share of 989 TFLOP/s (H100, dense bfloat16) counts 6 × all parameters × tokens, and attention on true document
lengths. TRL runs with FlashAttention 2 if that package is installed, else with `sdpa`.

`--self-check` does the same with a tiny model on few tokens, without a GPU; its speed has no meaning.
"""

import argparse
import datetime
import importlib.metadata
import importlib.util
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training_side import GIGA, Job, Measured, System, flops, measure, write_blocks

PEAK_FLOPS = 989e12
PROMPT_SHARE = 0.4
IGNORED = -100
VERSIONS = ("torch", "transformers", "accelerate", "trl")
SMALL = {
    "model_type": "llama",
    "vocab_size": 151_936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32_768,
    "tie_word_embeddings": True,
}
LARGE = {
    "model_type": "llama",
    "vocab_size": 128_256,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 32_768,
    "tie_word_embeddings": True,
}
TINY = {
    **SMALL,
    "vocab_size": 256,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


@dataclass(frozen=True)
class Case:
    """A model, a block length, and the number of steps."""

    model: dict[str, Any]
    max_length: int
    steps: int
    warmup: int
    median_tokens: int


CASES = tuple(Case(model, length, 40, 10, 300) for model in (SMALL, LARGE) for length in (4096, 8192))
SELF_CHECK = (Case(TINY, 64, 4, 1, 12),)


def draw_rows(case: Case, num_tokens: int) -> list[tuple[list[int], list[int]]]:
    """Return random rows of at least `num_tokens` tokens in total: ids, and labels that are −100 on the prompt."""
    random = np.random.default_rng(0)
    rows, total = [], 0
    while total < num_tokens:
        length = int(np.clip(random.lognormal(np.log(case.median_tokens), 0.9), 4, case.max_length))
        ids = random.integers(2, case.model["vocab_size"], length).tolist()
        prompt = int(length * PROMPT_SHARE)
        rows.append((ids, [IGNORED] * prompt + ids[prompt:]))
        total += length
    return rows


def num_parameters(model: dict[str, Any]) -> int:
    """Count the parameters of a model without allocating them."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        made = AutoModelForCausalLM.from_config(AutoConfig.for_model(**model))
    return sum(parameter.numel() for parameter in made.parameters())


def pairs_per_token(lengths: Sequence[int]) -> float:
    """Return the number of token pairs of which one attends to the other, per token of documents of these lengths."""
    return sum(length * (length + 1) / 2 for length in lengths) / sum(lengths)


def run_case(case: Case, bf16: bool, systems: Sequence[System], trl_attention: str) -> list[str]:
    """Run all systems on a case, and return the lines of the table."""
    rows = draw_rows(case, case.max_length * (case.steps + 2))
    pairs = pairs_per_token([len(ids) for ids, _ in rows])
    count = num_parameters(case.model)
    lines = []
    for system in systems:
        with tempfile.TemporaryDirectory() as folder:
            write_blocks(Path(folder), rows, case.max_length)
            job = Job(
                system=system,
                folder=folder,
                model=case.model,
                is_packed=True,
                max_length=case.max_length,
                batch_size=1,
                steps=case.steps,
                warmup=case.warmup,
                bf16=bf16,
                gradient_checkpointing=False,
                attention="auto" if system == "ours" else trl_attention,
            )
            lines.append(line_of(case, job, measure(job), count, pairs))
    return lines


def line_of(case: Case, job: Job, found: Measured, count: int, pairs: float) -> str:
    """Return one line of the table."""
    speed = found.tokens_per_second
    share = flops(case.model, count, speed, speed * pairs) / PEAK_FLOPS
    return (
        f"| {count / GIGA:.2f}B | {case.max_length:,} | {job.system} | {found.attention} | {speed:,.0f} | "
        f"{found.peak_bytes / GIGA:.2f} | {share:.1%} | {found.first_loss:.4f} |"
    )


def describe() -> str:
    """Return a line with date, device and versions."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    return f"{datetime.date.today()}, {device}. {versions}."


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure training on a GPU, ours and TRL's.")
    parser.add_argument("--self-check", action="store_true", help="use a tiny model, which runs without a GPU")
    parser.add_argument("--systems", nargs="+", default=["ours", "trl"], choices=["ours", "trl"])
    parser.add_argument("--trl-attention", help="name of attention in transformers; default: the best installed")
    options = parser.parse_args()
    has_flash = importlib.util.find_spec("flash_attn") is not None and not options.self_check
    trl_attention = options.trl_attention or ("flash_attention_2" if has_flash else "sdpa")
    print(describe(), end="\n\n")
    print("| model | block | system | attention | tokens/s | peak GB | of 989 TFLOP/s | loss of step 1 |")
    print("| --- | ---: | --- | --- | ---: | ---: | ---: | ---: |")
    for case in SELF_CHECK if options.self_check else CASES:
        for line in run_case(case, not options.self_check, options.systems, trl_attention):
            print(line, flush=True)


if __name__ == "__main__":
    main()
