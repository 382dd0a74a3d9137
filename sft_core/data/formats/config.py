"""Recipe fields for the format of rows, and for the share of rows that is held out."""

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
    """Format of the rows, and the share of rows that is held out for evaluation."""

    dataset_format: DatasetFormat = "auto"
    """Format of the rows. `auto` detects the format of each row by itself; a name rejects every row that is not in that
    format."""
    dataset_text_field: str = Field(default="text", min_length=1)
    """Name of the column with plain text (TRL's name and default)."""
    eval_fraction: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the rows to hold out, for sources without a `split` of their own. A hash of the prompt decides: it is
    the same on every machine, it does not change when rows are appended, and a prompt is never in both splits."""
    split_seed: int = 42
    """Seed of the split; another seed holds out other rows."""
