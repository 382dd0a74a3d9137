"""Tokenization: from rendered text to token ids and loss masks.

    text   "2+2=" + "4", span [4, 5), gpt-neox    →    input_ids  [19, 12, 19, 30, 21, 0]
                                                       loss_mask  [ 0,  0,  0,  0,  1, 1]

These invariants hold. Ids and mask have the same length. A kept row has at least one target after the shift by one;
every other row is rejected and counted in the ledger. The ids of the targets decode to the supervised text and its end
token. A plain text has exactly one beginning token, if the tokenizer has one, and ends with exactly one end token. A
special token spelled out in the data of a conversation is encoded as plain text, unless the recipe allows it. Both
engines encode a row to the same ids.
"""

from sft_core.data.tokens.config import RowLimits, TokensConfig
from sft_core.data.tokens.encode import Encoder, encoder_of
from sft_core.data.tokens.rows import MaskedRows, MaskedTokens, TextRows
from sft_core.data.tokens.tokenize import CUT_TARGETS, NO_TARGET, tokenize

__all__ = [
    "CUT_TARGETS",
    "NO_TARGET",
    "Encoder",
    "MaskedRows",
    "MaskedTokens",
    "RowLimits",
    "TextRows",
    "TokensConfig",
    "encoder_of",
    "tokenize",
]
