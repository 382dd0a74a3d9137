"""CPU time per row of `detect`, which recognizes a row's format and reads it, over one shard of 4,096 rows.

    PYTHONPATH=. python benchmarks/detect.py

The whole stage is measured, as its task calls it: reading the Arrow file of records, parsing JSON, checks, both
identities, the split, writing JSON, and writing the Arrow file of examples. The rows have about 500 characters of text;
those of token ids have 512 tokens. One thread; the best of 5 runs counts, because other work on the machine can only
add time.
"""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sft_core.data.formats import FormatsConfig, detect
from sft_core.store.records import RECORDS, ShardRef
from sft_core.store.tables import write_table

ROWS = 4096
ROUNDS = 5
WORDS = "the quick brown fox jumps over the lazy dog " * 2
CALL = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
TOOL = {"type": "function", "function": {"name": "f", "description": WORDS, "parameters": {"type": "object"}}}


def _message(role: str, number: int) -> dict[str, str]:
    return {"role": role, "content": f"{number} {WORDS}"}


KINDS: dict[str, Callable[[int], Any]] = {
    "prompt and completion": lambda n: {"prompt": f"{n} {WORDS * 3}", "completion": WORDS * 3},
    "text": lambda n: {"text": f"{n} {WORDS * 6}"},
    "five messages": lambda n: {"messages": [_message(role, n) for role in ("system", *["user", "assistant"] * 2)]},
    "five ShareGPT turns": lambda n: {
        "conversations": [{"from": role, "value": f"{n} {WORDS}"} for role in ("system", *["human", "gpt"] * 2)]
    },
    "Alpaca": lambda n: {"instruction": f"{n} {WORDS * 3}", "input": "", "output": WORDS * 3},
    "messages with a tool and a call": lambda n: {
        "messages": [
            _message("user", n),
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            _message("tool", n),
        ],
        "tools": [TOOL],
    },
    "512 token ids with a mask": lambda n: {
        "input_ids": list(range(n, n + 512)),
        "completion_mask": [0] * 100 + [1] * 412,
    },
}


def main() -> None:
    """Print a Markdown table."""
    print("| row | µs of CPU |\n| --- | ---: |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, row in KINDS.items():
            records = [{"row": n, "line": n + 1, "record": json.dumps(row(n))} for n in range(ROWS)]
            write_table(folder / "records.arrow", RECORDS, records)
            print(f"| {kind} | {min(_seconds(folder) for _ in range(ROUNDS)) / ROWS * 1e6:.1f} |")


def _seconds(folder: Path) -> float:
    shard = ShardRef(source="a", split=None, number=0, path="records.arrow", rows=ROWS, content_digest="")
    start = time.process_time()
    detect(FormatsConfig(eval_fraction=0.1), shard, folder / "records.arrow", folder)
    return time.process_time() - start


if __name__ == "__main__":
    main()
