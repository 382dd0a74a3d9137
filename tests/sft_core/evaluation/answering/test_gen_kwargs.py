"""Arguments of `generate`: sweeps, and what is refused."""

import pytest
from mlflow.utils.validation import _validate_metric_name
from pydantic import ValidationError
from transformers import GenerationConfig

from sft_core.evaluation.answering import AnsweringConfig, settings_of
from sft_core.evaluation.answering.gen_kwargs import GENERATE_ARGUMENTS, LISTS, REFUSED, SAMPLING


def test_every_combination_of_all_lists_in_the_order_they_are_written() -> None:
    settings = settings_of({"do_sample": True, "temperature": [0.5, 1.0], "top_k": [20, 50], "eos_token_id": [1, 2]})
    assert [setting.suffix for setting in settings] == [
        "/temperature:0.5/top_k:20",
        "/temperature:0.5/top_k:50",
        "/temperature:1.0/top_k:20",
        "/temperature:1.0/top_k:50",
    ]
    assert settings[1].swept == {"temperature": 0.5, "top_k": 50}
    assert settings[1].arguments == {
        "max_new_tokens": 64,
        "do_sample": True,
        "temperature": 0.5,
        "top_k": 50,
        "eos_token_id": [1, 2],
    }


def test_the_number_of_new_tokens_can_be_swept() -> None:
    assert [one.max_new_tokens for one in settings_of({"max_new_tokens": [4, 8]})] == [4, 8]


def test_without_lists_there_is_one_setting_without_a_suffix() -> None:
    (only,) = settings_of({"do_sample": False})
    assert (only.suffix, only.swept, only.max_new_tokens) == ("", {}, 64)


@pytest.mark.parametrize(
    "values", [[0.5, 1e-05], [True, False], [None, 3], ["dynamic", "a b=c,d@"], [-1, 1], ["../x", "y"]]
)
def test_numbers_have_names_that_mlflow_takes(values: list[object]) -> None:
    for setting in settings_of({"cache_implementation": values, "top_k": [1]}):
        _validate_metric_name(f"exact_match{setting.suffix}")


@pytest.mark.parametrize(
    ("gen_kwargs", "message"),
    [
        ({"temprature": 1.0}, "`generate` has no argument 'temprature'; did you mean 'temperature'?"),
        ({"zzz": 1}, "`generate` has no argument 'zzz'; known: bad_words_ids, "),
        ({"max_length": 64}, "'max_length' is not supported: it counts the prompt and its padding too"),
        ({"num_return_sequences": 2}, "'num_return_sequences' is not supported: each prompt has one answer"),
        ({"do_sample": True, "top_k": []}, "'top_k': a list is a sweep over different values, found []"),
        ({"do_sample": True, "top_k": [3, 3]}, "'top_k': a list is a sweep over different values, found [3, 3]"),
        ({"temperature": [0.5, 1.0]}, "a sweep over 'temperature' has no effect without `do_sample: true`"),
        ({"max_new_tokens": 0}, "'max_new_tokens': expected a number of tokens, 1 or more, found 0"),
        ({"max_new_tokens": [4, "x"]}, "'max_new_tokens': expected a number of tokens, 1 or more, found 'x'"),
    ],
)
def test_what_generate_would_not_take_is_an_error_of_the_recipe(gen_kwargs: dict, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AnsweringConfig(gen_kwargs=gen_kwargs)
    assert message in str(caught.value)


def test_the_list_of_arguments_is_that_of_the_installed_transformers() -> None:
    live = set(GenerationConfig().to_dict()) | set(vars(GenerationConfig()))
    assert (GENERATE_ARGUMENTS | REFUSED.keys()) - live == set()
    assert GENERATE_ARGUMENTS & REFUSED.keys() == set()
    assert LISTS | SAMPLING <= GENERATE_ARGUMENTS
