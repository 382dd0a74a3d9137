"""What the comparisons share: the real data beside the project, its tokenizer, and those that families have of it."""

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from .families import Family, TokenizerFor

DATA = Path(__file__).parents[2].parent / "shared" / "data"


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


@pytest.fixture(scope="session")
def tokenizer_for(tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TokenizerFor:
    @functools.cache
    def saved(family: Family) -> tuple[PreTrainedTokenizerFast, Path]:
        folder = tmp_path_factory.mktemp("tokenizer")
        return family.save_tokenizer(tokenizer_folder, folder), folder

    return saved


@pytest.fixture(scope="session")
def every_gsm8k_row(data: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (data / "gsm8k_train.jsonl").read_text(encoding="utf-8").splitlines()]
