"""From text to token ids and loss masks.

    text   "2+2=" + "4", span [4, 5), gpt-neox    →    input_ids  [19, 12, 19, 30, 21, 0]
                                                       loss_mask  [ 0,  0,  0,  0,  1, 1]

What always holds: ids and mask are equally long; a kept row has at least one target after the shift by one, every
other goes to the ledger; the masked-in ids decode to the supervised text and its end token; a plain text ends with
exactly one end token.
"""

from sft_core.tokens.config import TokensConfig
from sft_core.tokens.encode import Encoder, MaskedTokens, encoder_of
from sft_core.tokens.tokenize import CUT_TARGETS, NO_TARGET, tokenize

__all__ = ["CUT_TARGETS", "NO_TARGET", "Encoder", "MaskedTokens", "TokensConfig", "encoder_of", "tokenize"]
