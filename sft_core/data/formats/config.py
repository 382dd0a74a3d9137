"""How rows are told apart, and how many of them are held out."""

from typing import Literal

from pydantic import Field

from sft_core.section import Section

DatasetFormat = Literal[
    "auto",
    "messages",
    "prompt_completion",
    "text",
    "sharegpt",
    "alpaca",
    "question_answer",
    "trlx",
    "tokenized",
]


class FormatsConfig(Section):
    """What the rows are, and which of them are held out for evaluation."""

    dataset_format: DatasetFormat = "auto"
    """`auto` looks at each row by itself; a name refuses every row that is not of that format."""
    dataset_text_field: str = Field(default="text", min_length=1)
    """The column of plain text (TRL's name and default)."""
    eval_fraction: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the rows to hold out, where a source has no `split` of its own. Decided by a hash of the prompt: the
    same on every machine, unchanged when rows are appended, and a prompt never lies on both sides."""
    split_seed: int = 42
    """Another seed holds out other rows."""
