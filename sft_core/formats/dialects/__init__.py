"""All dialects, in the order in which they may claim a row. A new one is a file here and a line below."""

from sft_core.formats.dialects.alpaca import ALPACA
from sft_core.formats.dialects.dialect import Dialect, Fields, RowRejectedError
from sft_core.formats.dialects.messages import MESSAGES
from sft_core.formats.dialects.prompt_completion import PROMPT_COMPLETION
from sft_core.formats.dialects.text import TEXT

# `messages` before `text`: rows with both are conversations that somebody has rendered already.
DIALECTS: tuple[Dialect, ...] = (MESSAGES, PROMPT_COMPLETION, ALPACA, TEXT)

__all__ = ["DIALECTS", "Dialect", "Fields", "RowRejectedError"]
