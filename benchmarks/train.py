"""Training on a CPU, ours and TRL's: `PYTHONPATH=. python benchmarks/train.py`.

A Llama of 4 layers × 128 (4 heads, 512 in between) with random weights and the 50,277 ids of GPT-NeoX' tokenizer; GSM8K
with a loss on the answers only; float32, without gradient checkpointing, batches of 4, all other options at the default
of each system (entropy and accuracy are computed by both). Packed: best fit decreasing into 512 tokens. Both get the
same blocks, each in a process of its own, in turn, several rounds.

The table has medians over the steps of all rounds, after the warm-up: seconds per step, and tokens per second without
padding. Memory is the peak of resident memory of a process, imports included.
"""

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median

from transformers import AutoTokenizer

from benchmarks.gpu_train import IGNORED, describe
from benchmarks.training_side import GIGA, Job, Measured, System, measure, write_blocks

DATA = Path(__file__).parents[2] / "shared" / "data"
MODEL = {
    "model_type": "llama",
    "vocab_size": 50_277,
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
}
MAX_LENGTH = 512


def read_rows(num_rows: int) -> list[tuple[list[int], list[int]]]:
    """Return token ids of question and answer, and labels that are −100 on the question, for each row."""
    tokenizer = AutoTokenizer.from_pretrained(DATA / "tokenizer-gpt-neox")
    lines = (DATA / "gsm8k_train.jsonl").read_text(encoding="utf-8").splitlines()[:num_rows]
    rows = []
    for line in lines:
        row = json.loads(line)
        prompt, answer = (tokenizer(row[name])["input_ids"] for name in ("question", "answer"))
        answer.append(tokenizer.eos_token_id)
        rows.append(((prompt + answer)[:MAX_LENGTH], ([IGNORED] * len(prompt) + answer)[:MAX_LENGTH]))
    return rows


def run_once(system: System, rows: list[tuple[list[int], list[int]]], options: argparse.Namespace) -> Measured:
    """Train once in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write_blocks(Path(folder), rows, MAX_LENGTH if options.packed else None)
        job = Job(
            system=system,
            folder=folder,
            model=MODEL,
            is_packed=options.packed,
            max_length=MAX_LENGTH,
            batch_size=4,
            steps=options.steps,
            warmup=min(3, options.steps - 1),
            bf16=False,
            gradient_checkpointing=options.gradient_checkpointing,
            attention="auto" if system == "ours" else "sdpa",
        )
        return measure(job)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Measure training on a CPU, ours and TRL's.")
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--gradient-checkpointing", action="store_true")
    options = parser.parse_args()
    print(describe(), end="\n\n")
    print(
        "| rows | system | s a step | tokens/s | peak MB | loss of step 1 |\n| --- | --- | ---: | ---: | ---: | ---: |"
    )
    rows = read_rows(options.rows)
    for options.packed in (True, False):
        found: dict[System, list[Measured]] = {"ours": [], "trl": []}
        for _ in range(options.rounds):
            for system, measured in found.items():
                measured.append(run_once(system, rows, options))
        speeds, peaks = {}, {}
        for system, measured in found.items():
            steps = [pair for each in measured for pair in zip(each.seconds, each.tokens, strict=True)]
            speeds[system] = median(tokens / seconds for seconds, tokens in steps)
            peaks[system] = median(each.peak_bytes for each in measured)
            print(
                f"| {'packed' if options.packed else 'unpacked'} | {system} | "
                f"{median(seconds for seconds, _ in steps):.3f} | {speeds[system]:,.0f} | "
                f"{peaks[system] / GIGA * 1000:,.0f} | {measured[0].first_loss:.4f} |"
            )
        print(
            f"| | **ours / TRL** | | **{speeds['ours'] / speeds['trl']:.2f}** | "
            f"**{peaks['ours'] / peaks['trl']:.2f}** | |",
            flush=True,
        )


if __name__ == "__main__":
    main()
