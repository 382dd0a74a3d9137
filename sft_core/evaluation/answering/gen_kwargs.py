"""Arguments of `generate`, and the settings that result from lists of values.

    {do_sample: true, temperature: [0.5, 1.0], top_k: [20, 50]}

    →  /temperature:0.5/top_k:20   /temperature:0.5/top_k:50   /temperature:1.0/top_k:20   /temperature:1.0/top_k:50

trlX sweeps at most one argument, and names a score `name@temperature=0.5`. MLflow does not accept that name: it allows
only letters, digits and `_-.:/ `.
"""

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sft_core.errors import did_you_mean

DEFAULTS: Mapping[str, Any] = {"max_new_tokens": 64}
"""Values of arguments that are not in `gen_kwargs`; all others come from the model's generation configuration."""

_GENERATE_ARGUMENTS = """
max_new_tokens min_new_tokens early_stopping max_time
do_sample num_beams use_cache cache_implementation cache_config prefill_chunk_size
temperature top_k top_p min_p top_h typical_p epsilon_cutoff eta_cutoff
repetition_penalty encoder_repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size
bad_words_ids renormalize_logits forced_bos_token_id forced_eos_token_id remove_invalid_values
exponential_decay_length_penalty suppress_tokens begin_suppress_tokens sequence_bias guidance_scale
watermarking_config pad_token_id bos_token_id eos_token_id
prompt_lookup_num_tokens max_matching_ngram_size disable_compile
"""
GENERATE_ARGUMENTS = frozenset(_GENERATE_ARGUMENTS.split())
"""Fields of transformers' `GenerationConfig` that affect answers or their computation; a test compares this list with
the class."""

REFUSED: Mapping[str, str] = {
    "max_length": "it counts the prompt and its padding too, so that an answer would depend on its batch; "
    "use max_new_tokens",
    "min_length": "it counts the prompt and its padding too; use min_new_tokens",
    "stop_strings": "`stop_sequences` ends answers at a text, and removes it",
    "num_return_sequences": "each prompt has one answer",
    "return_dict_in_generate": "only the text is kept",
    "output_scores": "only the text is kept",
    "output_logits": "only the text is kept",
    "output_attentions": "only the text is kept",
    "output_hidden_states": "only the text is kept",
}
"""Arguments of `generate` that are refused, and the reasons."""

_LISTS = """
eos_token_id forced_eos_token_id bad_words_ids suppress_tokens begin_suppress_tokens sequence_bias
exponential_decay_length_penalty
"""
LISTS = frozenset(_LISTS.split())
"""Arguments for which a list is one value, and not a sweep."""

_SAMPLING = "temperature top_k top_p min_p top_h typical_p epsilon_cutoff eta_cutoff"
SAMPLING = frozenset(_SAMPLING.split())
"""Arguments that have no effect on greedy decoding."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Arguments of `generate` for one pass over the prompts."""

    arguments: dict[str, Any]
    swept: dict[str, Any]
    """The arguments that have other values in other passes."""

    @property
    def suffix(self) -> str:
        """Suffix of the names of its scores; empty if no argument is swept."""
        return "".join(f"/{name}:{_label(value)}" for name, value in self.swept.items())

    @property
    def max_new_tokens(self) -> int:
        """Maximal number of tokens of an answer."""
        return int(self.arguments["max_new_tokens"])


def settings_of(gen_kwargs: Mapping[str, Any]) -> list[Setting]:
    """Return every combination of the listed values; the last argument changes fastest.

    Args:
        gen_kwargs: Arguments of `generate`. A list is a sweep, unless the argument is in `LISTS`.
    """
    every = {**DEFAULTS, **gen_kwargs}
    listed = [name for name, value in every.items() if _is_swept(name, value)]
    return [
        Setting({**every, **dict(zip(listed, values, strict=True))}, dict(zip(listed, values, strict=True)))
        for values in itertools.product(*(every[name] for name in listed))
    ]


def check_gen_kwargs(gen_kwargs: Mapping[str, Any]) -> None:
    """Check that all arguments are accepted.

    Raises:
        ValueError: for an argument that is unknown or refused, or has an invalid value; with a suggestion if possible.
    """
    for name, value in gen_kwargs.items():
        if name in REFUSED:
            raise ValueError(f"'{name}' is not supported: {REFUSED[name]}")
        if name not in GENERATE_ARGUMENTS:
            hint = did_you_mean(name, sorted(GENERATE_ARGUMENTS | REFUSED.keys()))
            raise ValueError(f"`generate` has no argument '{name}'{hint}")
        if _is_swept(name, value):
            _check_sweep(name, value, gen_kwargs)
        for one in value if _is_swept(name, value) else [value]:
            _check_value(name, one)


def _check_sweep(name: str, values: list[Any] | tuple[Any, ...], gen_kwargs: Mapping[str, Any]) -> None:
    if not values or len({_label(value) for value in values}) < len(values):
        raise ValueError(f"'{name}': a list is a sweep over different values, found {list(values)}")
    samples = gen_kwargs.get("do_sample")
    if name in SAMPLING and samples is not True and not (isinstance(samples, list | tuple) and True in samples):
        raise ValueError(f"a sweep over '{name}' has no effect without `do_sample: true`")


def _check_value(name: str, value: Any) -> None:
    if name == "max_new_tokens" and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"'max_new_tokens': expected a number of tokens, 1 or more, found {value!r}")


def _is_swept(name: str, value: Any) -> bool:
    return name not in LISTS and isinstance(value, list | tuple)


def _label(value: Any) -> str:
    """Write a value in characters that MLflow allows in the name of a metric."""
    text = str(value).lower() if isinstance(value, bool) or value is None else str(value)
    return re.sub(r"[^\w.\-]", "_", text, flags=re.ASCII)
