"""Write any number of distinct rows made from GSM8K: every number in a problem is replaced by a random one.

    PYTHONPATH=. python benchmarks/distinct_rows.py 1000000 rows.jsonl [--turns 4]

Repeated rows would be too easy for an encoder that caches words, and would be found as duplicates.
"""

import argparse
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GSM8K = Path(__file__).parents[2] / "shared" / "data" / "gsm8k_train.jsonl"
NUMBER = re.compile(r"\d+")


def distinct_rows(num_rows: int, seed: int = 0, data: Path = GSM8K) -> Iterator[dict[str, str]]:
    """Yield rows of `question` and `answer`. The first rows are the same for any `num_rows`."""
    problems = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    chance = random.Random(seed)
    for number in range(num_rows):
        problem = problems[number % len(problems)]
        yield {name: NUMBER.sub(lambda _: str(chance.randrange(1, 10_000)), text) for name, text in problem.items()}


def as_chats(rows: Iterator[dict[str, str]], turns: int) -> Iterator[dict[str, Any]]:
    """Yield chats of `turns` problems each, as questions of the user and answers of the assistant."""
    for first in rows:
        pairs = [first, *(row for _, row in zip(range(turns - 1), rows, strict=False))]
        roles = {"question": "user", "answer": "assistant"}
        yield {"messages": [{"role": roles[name], "content": text} for pair in pairs for name, text in pair.items()]}


def write_rows(path: Path, num_rows: int, turns: int | None = None, seed: int = 0) -> None:
    """Write `num_rows` problems, or chats of `turns` problems each, as JSON lines."""
    rows = distinct_rows(num_rows * (turns or 1), seed)
    with path.open("w", encoding="utf-8") as file:
        for row in rows if turns is None else as_chats(rows, turns):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write distinct rows made from GSM8K.")
    parser.add_argument("num_rows", type=int)
    parser.add_argument("path", type=Path)
    parser.add_argument("--turns", type=int)
    options = parser.parse_args()
    write_rows(options.path, options.num_rows, options.turns)
