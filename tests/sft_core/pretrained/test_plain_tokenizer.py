"""What `tokenizers` alone does with the contents of a tokenizer is what `transformers` does."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from sft_core.data.chat import ChatConfig, TemplateRef, chat_template_of
from sft_core.pretrained import tokenizer as tokenizers_of_runs
from sft_core.pretrained.plain_tokenizer import PlainTokenizer
from sft_core.pretrained.tokenizer import TokenizerRef, contents_of, remember_contents_in

WITHOUT_TRANSFORMERS = """
import sys
sys.modules["transformers"] = sys.modules["torch"] = None
from pathlib import Path
from sft_core.data.chat import ChatConfig, TemplateRef, chat_template_of
from sft_core.pretrained.plain_tokenizer import plain_tokenizer
from sft_core.pretrained.tokenizer import TokenizerRef, remember_contents_in
remember_contents_in(Path(sys.argv[1]))
ref = TokenizerRef.model_validate_json(sys.argv[2])
print(plain_tokenizer(ref).encode("two<|im_end|>", add_special_tokens=False))
print(chat_template_of(ChatConfig(), TemplateRef(source="x"), ref))
"""


@given(st.text(max_size=60))
def test_texts_become_the_same_ids_and_ids_the_same_text(
    tokenizer: PreTrainedTokenizerFast, plain: PlainTokenizer, text: str
) -> None:
    for special in (True, False):
        ids = plain.encode(text, add_special_tokens=special)
        assert ids == tokenizer(text, add_special_tokens=special)["input_ids"]
        expected = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        assert plain.decode(ids) == expected


def test_it_knows_special_tokens_and_the_names_of_ids(
    tokenizer: PreTrainedTokenizerFast, plain: PlainTokenizer
) -> None:
    assert plain.special_ids == {0, 1, 2}
    assert plain.eos_token_id == tokenizer.eos_token_id == 1
    names = [plain.name_of(token) for token in range(len(tokenizer))]
    assert names == tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    assert plain.name_of(len(tokenizer)) == ""


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    """The folder that keeps contents, for one test."""
    before = list(tokenizers_of_runs._FOLDERS)
    remember_contents_in(tmp_path / "tokenizers")
    yield tmp_path / "tokenizers"
    tokenizers_of_runs._FOLDERS[:] = before


def test_contents_are_kept_so_that_the_next_process_needs_no_transformers(
    tokenizer_ref: TokenizerRef, tokenizer: PreTrainedTokenizerFast, kept: Path
) -> None:
    contents = contents_of(tokenizer_ref)
    assert [file.suffix for file in kept.iterdir()] == [".json"]
    assert contents_of(tokenizer_ref) == contents
    command = [sys.executable, "-c", WITHOUT_TRANSFORMERS, str(kept), tokenizer_ref.model_dump_json()]
    ids, template = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert ids == str(tokenizer("two<|im_end|>")["input_ids"])
    assert template == str(chat_template_of(ChatConfig(), TemplateRef(source="x"), tokenizer_ref))
    assert "<|im_end|>" in template
