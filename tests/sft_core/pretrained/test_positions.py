"""The longest text, and the positions of a model."""

from pathlib import Path

import pytest
from datasets import Dataset
from transformers import AutoConfig

from sft_core.errors import RecipeError
from sft_core.modeling import check_positions, longest_text, max_positions


def test_the_longest_text_is_found_in_whatever_block_it_lies(tmp_path: Path) -> None:
    Dataset.from_dict({"seq_lengths": [[3, 4], [2], [1, 9, 2], [5]]}).save_to_disk(str(tmp_path / "split"))
    assert longest_text(tmp_path / "split") == 9


def test_blocks_in_several_files_count_all(tmp_path: Path) -> None:
    Dataset.from_dict({"seq_lengths": [[3], [12], [1]]}).save_to_disk(str(tmp_path / "split"), num_shards=3)
    assert longest_text(tmp_path / "split") == 12


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({"model_type": "llama", "max_position_embeddings": 64}, 64),
        ({"model_type": "gpt2", "n_positions": 32}, 32),
        ({"model_type": "bloom"}, None),
    ],
)
def test_the_limit_is_that_of_the_configuration(config: dict[str, object], limit: int | None) -> None:
    assert max_positions(AutoConfig.for_model(**config)) == limit


def test_a_text_of_just_the_limit_is_fine_and_one_more_token_is_not() -> None:
    check_positions(64, 64)
    check_positions(None, 10**6)
    with pytest.raises(RecipeError, match=r"64 positions, and the longest text has 65 tokens; set tokens\.max_length"):
        check_positions(64, 65)
