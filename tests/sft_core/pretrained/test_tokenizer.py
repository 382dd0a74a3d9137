"""Which tokenizer a run uses."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sft_core.data.tokens import TextRows, encoder_of
from sft_core.errors import RecipeError
from sft_core.pretrained.model import ModelConfig
from sft_core.pretrained.tokenizer import (
    FrozenTokenizer,
    TokenizerRef,
    freeze_tokenizer,
    load_tokenizer,
    locate_tokenizer,
)
from sft_core.store.file_digests import FileDigests
from sft_core.store.fingerprint import digest
from tests.conftest import model_config


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


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["", "{"])
def test_a_broken_tokenizer_is_an_error_that_names_its_folder(
    tokenizer_folder: Path, tmp_path: Path, file_digests: FileDigests, file: str, content: str
) -> None:
    folder = shutil.copytree(tokenizer_folder, tmp_path / "broken")
    (folder / file).write_text(content)
    with pytest.raises(RecipeError, match=r"expected a tokenizer that transformers can load in '.*broken', found "):
        load_tokenizer(locate_tokenizer(model_config(folder), file_digests))


def test_a_frozen_tokenizer_holds_what_encoding_needs(tokenizer_ref: TokenizerRef, tmp_path: Path) -> None:
    frozen = freeze_tokenizer(tokenizer_ref, tmp_path)
    assert frozen.contents() == tokenizer_ref.contents()
    assert frozen.fingerprint() == tokenizer_ref.fingerprint()
    assert FrozenTokenizer.model_validate_json(frozen.model_dump_json()) == frozen


def test_a_tokenizer_is_frozen_once(tokenizer_ref: TokenizerRef, tmp_path: Path) -> None:
    written = freeze_tokenizer(tokenizer_ref, tmp_path).file.stat().st_mtime_ns
    assert freeze_tokenizer(tokenizer_ref, tmp_path).file.stat().st_mtime_ns == written
    assert len(list(tmp_path.iterdir())) == 1


def test_a_frozen_tokenizer_needs_no_transformers(tokenizer_ref: TokenizerRef, tmp_path: Path) -> None:
    frozen = freeze_tokenizer(tokenizer_ref, tmp_path)
    script = """
import sys
from sft_core.store.fingerprint import digest
from sft_core.pretrained.model import ModelConfig
from sft_core.pretrained.tokenizer import FrozenTokenizer
from sft_core.data.tokens import TextRows, encoder_of
encoder = encoder_of(FrozenTokenizer.model_validate_json(sys.argv[1]))
print(encoder.encode(TextRows.of(["two"], [[0, 3]], True))[0][0].input_ids, "transformers" in sys.modules)
"""
    command = [sys.executable, "-c", script, frozen.model_dump_json()]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    ids = load_tokenizer(tokenizer_ref)("two<|im_end|>")["input_ids"]
    assert printed.strip() == f"{ids} False"


def with_tokens(folder: Path, *tokens: str) -> ModelConfig:
    return model_config(folder).model_copy(update={"additional_special_tokens": tokens})


def test_new_tokens_get_the_next_ids_and_are_special(tokenizer_folder: Path, file_digests: FileDigests) -> None:
    plain, ref = (
        locate_tokenizer(with_tokens(tokenizer_folder, *tokens), file_digests)
        for tokens in ((), ("<think>", "</think>"))
    )
    before, after = load_tokenizer(plain), load_tokenizer(ref)
    assert len(after) == len(before) + 2
    ids = after("two<think>five")["input_ids"]
    assert [*before("two")["input_ids"], len(before), *before("five")["input_ids"]] == ids
    assert after.decode(ids, skip_special_tokens=True) == "twofive"
    assert set(before.all_special_tokens) < set(after.all_special_tokens)


def test_new_tokens_are_part_of_a_tokenizers_identity(
    tokenizer_folder: Path, file_digests: FileDigests, tmp_path: Path
) -> None:
    refs = [
        locate_tokenizer(with_tokens(tokenizer_folder, *tokens), file_digests) for tokens in ((), ("<a>",), ("<b>",))
    ]
    assert len({digest(ref) for ref in refs}) == 3
    files = [freeze_tokenizer(ref, tmp_path) for ref in refs]
    assert len({frozen.file for frozen in files}) == 3
    assert [("<a>" in frozen.contents().description) for frozen in files] == [False, True, False]


def test_new_tokens_are_found_in_text_by_every_encoder(
    tokenizer_folder: Path, file_digests: FileDigests, tmp_path: Path
) -> None:
    ref = locate_tokenizer(with_tokens(tokenizer_folder, "<think>"), file_digests)
    encoder = encoder_of(freeze_tokenizer(ref, tmp_path))
    tokenizer = load_tokenizer(ref)
    encoded = encoder.encode(TextRows.of(["two<think>five"], [[0, 14]], False))[0][0].input_ids
    assert tokenizer.convert_tokens_to_ids("<think>") in list(encoded)
    assert list(encoded) == tokenizer("two<think>five")["input_ids"]


def test_a_new_token_that_is_there_already_is_a_mistake(tokenizer_folder: Path, file_digests: FileDigests) -> None:
    with pytest.raises(
        RecipeError, match=r"the tokenizer already has '<\|im_end\|>' \(id 1\).*remove it from the list"
    ):
        load_tokenizer(locate_tokenizer(with_tokens(tokenizer_folder, "<|im_end|>"), file_digests))
