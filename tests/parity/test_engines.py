"""On the real tokenizer and all of the real data, `tiktoken` gives the ids and masks of `tokenizers`.

Every text of every file is a row: questions, answers, articles, tool calls, and the lines of JSON they stand in, which
are full of quotes, escapes and indentation. Spans begin and end at every kind of place.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from sft_core.data.tokens import Encoder, TextRows
from tests.full_size import IS_FULL

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def encoder(tokenizer_folder: Path) -> Encoder:
    return Encoder.of(Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json")), 0, 0)


def texts_of(value: Any) -> Iterator[str]:
    """All texts in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_of(item)


def texts_of_file(path: Path) -> list[str]:
    content = path.read_text(encoding="utf-8")
    values = map(json.loads, content.splitlines()) if path.suffix == ".jsonl" else json.loads(content)
    lines = content.splitlines()
    return [*texts_of(list(values)), *("\n".join(lines[at : at + 20]) for at in range(0, len(lines), 20))]


@pytest.mark.parametrize(
    "name",
    [
        "alpaca_en_demo.json",
        "c4_demo.jsonl",
        "glaive_toolcall_en_demo.json",
        "gsm8k_test.jsonl",
        "gsm8k_train.jsonl",
        "identity.json",
        "mllm_demo.json",
    ],
)
def test_every_text_has_the_same_tokens_and_masks(name: str, data: Path, encoder: Encoder) -> None:
    texts = texts_of_file(data / name)
    if not IS_FULL:
        texts = texts[:: max(1, len(texts) // 3000)]
    places = np.random.default_rng(0)
    spans = [sorted(places.integers(0, len(text) + 1, 4).tolist()) for text in texts]
    rows = TextRows.of(texts, spans, [len(text) % 2 == 0 for text in texts])
    ours, use = encoder.encode(rows)
    theirs, _ = replace(encoder, fast=None).encode(rows)
    assert use.engine == "tiktoken", use.reason
    assert use.rows_by_tokenizers <= len(texts) // 100
    assert np.array_equal(ours.offsets, theirs.offsets)
    assert np.array_equal(ours.input_ids, theirs.input_ids)
    assert np.array_equal(ours.loss_mask, theirs.loss_mask)
