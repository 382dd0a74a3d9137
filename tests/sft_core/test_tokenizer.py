"""Which tokenizer a run uses."""

from pathlib import Path

import pytest

from sft_core.errors import RecipeError
from sft_core.file_digests import FileDigests
from sft_core.tokenizer import TokenizerRef, load_tokenizer, locate_tokenizer

from ..conftest import model_config


def test_the_tokenizer_of_a_folder_is_loaded_as_it_was_saved(tokenizer_ref: TokenizerRef) -> None:
    tokenizer = load_tokenizer(tokenizer_ref)
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token) == ("<|im_end|>", "<|pad|>", None)
    assert tokenizer.decode(tokenizer("The sum is five.")["input_ids"]) == "The sum is five."


def test_a_tokenizer_is_loaded_once(tokenizer_ref: TokenizerRef) -> None:
    assert load_tokenizer(tokenizer_ref) is load_tokenizer(tokenizer_ref.model_copy())


def test_a_path_to_nothing_is_an_error_that_names_it(file_digests: FileDigests) -> None:
    with pytest.raises(
        RecipeError, match=r"model\.tokenizer: expected a folder or a Hub id, found nothing at '/nowhere/at/all'"
    ):
        locate_tokenizer(model_config(Path("/nowhere/at/all")), file_digests)


def test_a_folder_without_a_tokenizer_is_an_error(tmp_path: Path, file_digests: FileDigests) -> None:
    with pytest.raises(RecipeError, match=r"expected a tokenizer \(tokenizer.json\) in"):
        locate_tokenizer(model_config(tmp_path), file_digests)
