"""From text to token ids and loss masks.

    text   "2+2=" + "4", span [4, 5), gpt-neox    →    input_ids  [19, 12, 19, 30, 21, 0]
                                                       loss_mask  [ 0,  0,  0,  0,  1, 1]

What always holds: ids and mask are equally long; a kept row has at least one target after the shift by one, every
other goes to the ledger; the masked-in ids decode to the supervised text and its end token; a plain text has exactly
one beginning token, where the tokenizer has one, and ends with exactly one end token; what the data spells is never a
special token of a conversation, unless the recipe says so. Which of the two engines encoded a row changes nothing.
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
