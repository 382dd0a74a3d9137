"""Cost of tokenizing a row, compared with the bare encoders: CPU microseconds, medians of rounds in turn.

    PYTHONPATH=. python benchmarks/tokenize_rows.py

    tokenizers   `Tokenizer.encode_batch` of the texts: ids and offsets, no masks
    tiktoken     `Encoding.encode_to_numpy` of the texts, with the same merges, without added tokens
    stage        `tokenize`: from `rendered.arrow` to `tokens.arrow`, `index.arrow` and the ledger

The rows are questions and answers of GSM8K, one shard of 4,096; the loss is on the answer and its end token.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sft_core.data.tokens import TokensConfig, encoder_of, tokenize
from sft_core.pretrained.model import ModelConfig
from sft_core.pretrained.tokenizer import locate_tokenizer
from sft_core.store.file_digests import FileDigests
from sft_core.store.ledger import Ledger, write_rejections
from sft_core.store.records import RENDERED
from sft_core.store.tables import write_table

SHARED = Path(__file__).parents[2] / "shared" / "data"


def main() -> None:
    """Run the rounds and print the table."""
    options = _options()
    rows = [json.loads(line) for line in options.data.read_bytes().splitlines()[: options.rows]]
    texts = [row["question"] + row["answer"] for row in rows]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        spans = [[len(row["question"]), len(text)] for row, text in zip(rows, texts, strict=True)]
        _write_rendered(folder, texts, spans)
        model = ModelConfig(init="config", config={"model_type": "llama"}, tokenizer=str(options.tokenizer))
        ref = locate_tokenizer(model, FileDigests(folder / "digests.sqlite"))
        encoder = encoder_of(ref)
        ledger = Ledger(rows_in=len(rows), rows_train=len(rows))
        works: dict[str, Callable[[], object]] = {
            "tokenizers": lambda: encoder.backend.encode_batch(texts),
            "stage": lambda: tokenize(TokensConfig(), ref, "gsm8k", folder, ledger, folder / "out"),
        }
        if encoder.fast is not None:
            bare = encoder.fast.encoding
            works["tiktoken"] = lambda: [bare.encode_to_numpy(text, disallowed_special=()) for text in texts]
        timings: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(options.rounds):
            for name, work in works.items():
                timings[name].append(_cpu_us(work) / len(texts))
    for name, rounds in timings.items():
        print(f"{name:10} {statistics.median(rounds):6.1f} µs a row")


def _write_rendered(folder: Path, texts: list[str], spans: list[list[int]]) -> None:
    (folder / "out").mkdir()
    fixed = {"line": None, "split": "train", "wants_special_tokens": True}
    rows = [
        {"row": number, "text": text, "spans": flat, **fixed}
        for number, (text, flat) in enumerate(zip(texts, spans, strict=True))
    ]
    write_table(folder / "rendered.arrow", RENDERED, rows)
    write_rejections(folder / "rejected.jsonl", [])


def _cpu_us(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1e6


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time tokenizing, compared with the bare encoders.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--data", type=Path, default=SHARED / "gsm8k_train.jsonl")
    parser.add_argument("--tokenizer", type=Path, default=SHARED / "tokenizer-gpt-neox")
    return parser.parse_args()


if __name__ == "__main__":
    main()
