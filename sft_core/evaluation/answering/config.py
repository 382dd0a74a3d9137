"""Recipe section for generating answers to prompts and scoring them."""

import re
from typing import Any

from pydantic import Field, field_validator

from sft_core.evaluation.answering.gen_kwargs import check_gen_kwargs, settings_of
from sft_core.evaluation.answering.metric_names import MetricNames
from sft_core.section import Section


class AnsweringConfig(Section):
    """Generation of answers, and metrics."""

    num_prompts: int = Field(default=100, ge=0)
    """Number of held-out prompts to answer, spread evenly over all of them; 0 for none."""
    batch_size: int = Field(default=16, ge=1)
    """Number of prompts, or of blocks, in a batch."""
    gen_kwargs: dict[str, Any] = {"max_new_tokens": 64, "do_sample": False}
    """Arguments of `generate`, as in trlX; the default is greedy decoding. A list of values is a sweep: prompts are
    answered with every combination of the values of all lists."""
    stop_sequences: tuple[str, ...] = ()
    """Texts at which generation stops. The answer is cut at the first of them, and trailing white space is removed."""
    metrics: tuple[str, ...] = ("exact_match",)
    """`exact_match`, `prefix_match`, `f1`, `bleu`, `chrf`, `rouge1`, `rouge2`, `rougeL`, `regex:PATTERN`, or your own
    function, `package.module.function` or `path/to/file.py:function`, with the signature of trlX's `metric_fn`."""
    answer_pattern: str | None = None
    """Regular expression for the part of a text that `exact_match` compares: the first group of its last match, in
    answer and reference (`#### (.+)` for GSM8K). None compares the whole text."""
    seed: int = 42
    """Seed of sampling."""

    @property
    def score_names(self) -> tuple[str, ...] | None:
        """Names of all scores; None if there are functions of the user, which name their scores themselves."""
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
                raise ValueError(f"the pattern needs a group in parentheses that matches the answer; found '{pattern}'")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return pattern
