"""How prompts are answered, and what is measured of the answers."""

import re
from typing import Any

from pydantic import Field, field_validator

from sft_core.evaluation.answering.gen_kwargs import check_gen_kwargs, settings_of
from sft_core.evaluation.answering.metric_names import MetricNames
from sft_core.section import Section


class AnsweringConfig(Section):
    """Generation, and metrics."""

    num_prompts: int = Field(default=100, ge=0)
    """Held-out prompts to answer, spread evenly over all of them; 0: none."""
    batch_size: int = Field(default=16, ge=1)
    """Prompts, and blocks, at a time."""
    gen_kwargs: dict[str, Any] = {"max_new_tokens": 64, "do_sample": False}
    """Arguments of `generate`, as in trlX; the default is greedy. A list of values is a sweep: prompts are answered
    with every combination of all lists."""
    stop_sequences: tuple[str, ...] = ()
    """Answers are cut at the first of these texts, and trailing white space is taken off; generation ends there."""
    metrics: tuple[str, ...] = ("exact_match",)
    """`exact_match`, `prefix_match`, `f1`, `bleu`, `chrf`, `rouge1`, `rouge2`, `rougeL`, `regex:PATTERN`, or a function
    of your own, `package.module.function` or `path/to/file.py:function`, as trlX's `metric_fn`."""
    answer_pattern: str | None = None
    """A regular expression: `exact_match` compares answer and reference by the first group of its last match
    (`#### (.+)` for GSM8K). None: the whole text."""
    seed: int = 42
    """Of sampling."""

    @property
    def score_names(self) -> tuple[str, ...] | None:
        """What the scores will be called; None where functions of the user's name them."""
        names = MetricNames.parse(self.metrics)
        if names.functions:
            return None
        suffixes = dict.fromkeys(["", *(setting.suffix for setting in settings_of(self.gen_kwargs))])
        return tuple(name + suffix for suffix in suffixes for name in names.known_scores)

    @field_validator("gen_kwargs")
    @classmethod
    def _are_arguments(cls, gen_kwargs: dict[str, Any]) -> dict[str, Any]:
        check_gen_kwargs(gen_kwargs)
        return gen_kwargs

    @field_validator("stop_sequences")
    @classmethod
    def _are_not_empty(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        if "" in texts:
            raise ValueError("an empty text would end every answer before its first token")
        return texts

    @field_validator("metrics")
    @classmethod
    def _are_metrics(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        MetricNames.parse(metrics)
        return metrics

    @field_validator("answer_pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            if pattern is not None and re.compile(pattern).groups < 1:
                raise ValueError(f"the pattern needs a group in parentheses that holds the answer; found '{pattern}'")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return pattern
