"""All dialects, in the order in which they may claim a row. To add one, write a file here, and add a line below and its
name to `config.py`.

A row may fit several dialects. Those with more specific column names come first: token ids before everything they were
made from, conversations before their renderings, and the everyday words of `question_answer` and `trlx` (`source`,
`input`, `samples`) last.
"""

from sft_core.data.formats.dialects.alpaca import ALPACA
from sft_core.data.formats.dialects.dialect import Dialect, Fields
from sft_core.data.formats.dialects.messages import MESSAGES
from sft_core.data.formats.dialects.prompt_completion import PROMPT_COMPLETION
from sft_core.data.formats.dialects.question_answer import QUESTION_ANSWER
from sft_core.data.formats.dialects.sharegpt import SHAREGPT
from sft_core.data.formats.dialects.text import TEXT
from sft_core.data.formats.dialects.tokenized import TOKENIZED
from sft_core.data.formats.dialects.trlx import TRLX

DIALECTS: tuple[Dialect, ...] = (
    TOKENIZED,
    MESSAGES,
    SHAREGPT,
    PROMPT_COMPLETION,
    ALPACA,
    TEXT,
    QUESTION_ANSWER,
    TRLX,
)

__all__ = ["DIALECTS", "Dialect", "Fields"]
