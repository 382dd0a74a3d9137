"""Tokenized rows as people read them."""

from pathlib import Path

from sft_core.preview import RowPreview, preview_rows
from sft_core.records import TOKENS
from sft_core.tables import write_table
from sft_core.tokenizer import TokenizerRef, load_tokenizer


def test_a_row_is_cut_where_its_mask_changes(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    ids = load_tokenizer(tokenizer_ref)("2+2=4<|im_end|>")["input_ids"]
    row = {"row": 7, "line": 8, "split": "train", "input_ids": ids, "loss_mask": [0, 0, 0, 0, 1, 1]}
    write_table(tmp_path / "tokens.arrow", TOKENS, [row, row, row])
    expected = RowPreview(7, "train", 6, 2, (("2+2=", False), ("4<|im_end|>", True)))
    assert preview_rows(tmp_path / "tokens.arrow", tokenizer_ref, 2) == [expected, expected]
