"""What the comparisons share: the real data beside the project, its tokenizer, and how many rows are compared."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from sft_core.chat.choose import BUNDLED

DATA = Path(__file__).parents[2].parent / "shared" / "data"
REDUCED_ROWS = 1500


@pytest.fixture(scope="session")
def data() -> Path:
    if not DATA.is_dir():
        pytest.skip(f"the public data that these tests compare on is not there ({DATA})")
    return DATA


@pytest.fixture(scope="session")
def tokenizer_folder(data: Path) -> Path:
    return data / "tokenizer-gpt-neox"


@pytest.fixture
def tokenizer(tokenizer_folder: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(tokenizer_folder)


@pytest.fixture
def chatml_tokenizer(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    tokenizer.chat_template = (BUNDLED / "chatml.jinja").read_text(encoding="utf-8")
    return tokenizer


@pytest.fixture(scope="session")
def every_gsm8k_row(data: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (data / "gsm8k_train.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="session")
def gsm8k_rows(every_gsm8k_row: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first 1,500; all 7,473 with SFT_TEST_FULL=1."""
    return every_gsm8k_row if os.environ.get("SFT_TEST_FULL") == "1" else every_gsm8k_row[:REDUCED_ROWS]
