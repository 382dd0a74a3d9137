"""What is measured on held-out rows."""

import re
from typing import Any

from pydantic import Field, field_validator

from sft_core.section import Section


class EvaluationConfig(Section):
    """Loss over held-out tokens, and answers to held-out prompts."""

    num_prompts: int = Field(default=100, ge=0)
    """Held-out prompts to answer, spread evenly over all of them; 0: none."""
    batch_size: int = Field(default=16, ge=1)
    """Prompts, and blocks, at a time."""
    gen_kwargs: dict[str, Any] = {"max_new_tokens": 64, "do_sample": False}
    """Arguments of `generate`, as in trlX; the default is greedy."""
    answer_pattern: str | None = None
    """A regular expression: answer and reference are compared by the first group of its last match (`#### (.+)` for
    GSM8K). None: the whole text."""
    baseline: bool = True
    """Measure the model before training as well, so that the scorecard shows what training did."""
    seed: int = 42
    """Of sampling."""

    @field_validator("answer_pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            if pattern is not None and re.compile(pattern).groups < 1:
                raise ValueError(f"the pattern needs a group in parentheses that holds the answer; found '{pattern}'")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return pattern
