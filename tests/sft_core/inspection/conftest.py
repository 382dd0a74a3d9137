"""One data set for all tests of the room."""

import pytest

from sft_core.tokenizer import TokenizerRef
from tests.sft_core.inspection.data_set import Prepared, prepare


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, tokenizer_ref: TokenizerRef) -> Prepared:
    return prepare(tmp_path_factory.mktemp("prepared"), tokenizer_ref)
