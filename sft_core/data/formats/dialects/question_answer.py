"""Prompt and completion under other common column names. They are read exactly as if the recipe's `columns` had renamed
them to `prompt` and `completion`.

{"question": "2+2?", "answer": "4"}  →  prompt "2+2?", completion "4"
"""

from sft_core.data.formats.dialects.dialect import Dialect, Fields
from sft_core.data.formats.dialects.prompt_completion import example_of_pair
from sft_core.store.records import Example

PAIRS = (
    ("question", "answer"),
    ("question", "response"),
    ("query", "response"),
    ("query", "answer"),
    ("prompt", "response"),
    ("prompt", "output"),
    ("prompt", "answer"),
    ("problem", "solution"),
    ("inputs", "targets"),
    ("input_text", "target_text"),
    ("input", "output"),
    ("source", "target"),
)
"""(prompt column, completion column); the first pair that a row has is used."""


def _convert(fields: Fields) -> Example:
    pair = next((asked, learned) for asked, learned in PAIRS if asked in fields and learned in fields)
    return example_of_pair(fields, *pair)


QUESTION_ANSWER = Dialect(
    "question_answer", "prompt-completion under other names: `question` and `answer`, …", PAIRS, _convert
)
