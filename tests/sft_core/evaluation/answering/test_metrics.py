"""Metrics against values worked out by hand."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from sft_core.errors import RecipeError
from sft_core.evaluation.answering import AnsweringConfig, Scoring, locate_scoring
from sft_core.evaluation.answering.answers import Answers, Measure
from sft_core.evaluation.answering.measures import measure
from sft_core.evaluation.answering.text_metrics import cut_at, token_f1
from sft_core.store.fingerprint import digest

from .tiny import write_module


def take(metrics: list[str], pairs: list[tuple[str, str]], **config: object) -> dict[str, Measure]:
    own = AnsweringConfig(metrics=metrics, **config)
    answers = Answers(
        prompts=["p"] * len(pairs),
        outputs=[output for output, _ in pairs],
        references=[reference for _, reference in pairs],
        metadata={"level": list(range(len(pairs)))},
    )
    return {one.name: one for one in measure(own, locate_scoring(own), answers)}


def only(metric: str, *pairs: tuple[str, str], **config: object) -> Measure:
    (taken,) = take([metric], list(pairs), **config).values()
    return taken


def test_exact_match_goes_by_the_answer_pattern() -> None:
    taken = only("exact_match", ("so #### 7", "#### 7"), ("7", "#### 7"), answer_pattern=r"#### (.+)")
    assert (taken.values, taken.score) == ([True, False], 0.5)


def test_prefix_match() -> None:
    taken = only("prefix_match", (" seven, I think", "seven"), ("I think seven", "seven"), ("seven", "seven "))
    assert taken.values == [True, False, True]
    assert taken.score == pytest.approx(2 / 3)


def test_patterns_are_searched_in_the_output_and_numbered() -> None:
    taken = take(["regex:^\\d+$", "regex:a|b"], [("12", ""), ("1a", "")])
    assert {name: one.values for name, one in taken.items()} == {"regex": [True, False], "regex_2": [False, True]}


@pytest.mark.parametrize(
    ("output", "reference", "expected"),
    [
        ("The cat sat.", "a cat sat down", 2 * 2 / (2 + 3)),
        ("cat cat", "cat", 2 * 1 / (2 + 1)),
        ("dog", "cat", 0.0),
        ("the", "a", 1.0),
        ("", "cat", 0.0),
    ],
)
def test_f1_is_squads(output: str, reference: str, expected: float) -> None:
    assert token_f1(output, reference) == pytest.approx(expected)


CAT = ("the cat is on the mat", "the cat sat on the mat")


def test_bleu_of_one_answer_is_the_geometric_mean_of_its_precisions() -> None:
    # no 4-gram of 3 is right: exponential smoothing counts it as half of one (Chen and Cherry 2014, method 3)
    expected = 100 * (5 / 6 * 3 / 5 * 1 / 4 * (1 / 2 / 3)) ** (1 / 4)
    taken = only("bleu", CAT)
    assert taken.score == pytest.approx(expected)
    assert taken.values == [pytest.approx(expected)]


def test_bleu_of_all_answers_is_no_mean() -> None:
    taken = only("bleu", CAT, ("a b c d e", "a b c d e"))
    # sums over both: 10 of 11, 7 of 9, 4 of 7, 2 of 5 n-grams
    assert taken.score == pytest.approx(100 * (10 / 11 * 7 / 9 * 4 / 7 * 2 / 5) ** (1 / 4))
    assert taken.values is not None
    assert taken.score != pytest.approx(sum(map(float, taken.values)) / 2)


def test_chrf() -> None:
    # single characters: 2 of 2 and of 3; pairs: 1 of 1 and of 2
    precision, recall = 1.0, (2 / 3 + 1 / 2) / 2
    assert only("chrf", ("ab", "abc")).score == pytest.approx(100 * 5 * precision * recall / (4 * precision + recall))


def test_rouge_is_the_f_measure() -> None:
    taken = take(["rouge1", "rouge2", "rougeL"], [("sat the cat", "the cat sat down")])
    expected = {"rouge1": 2 * 3 / (3 + 4), "rouge2": 2 * 1 / (2 + 3), "rougeL": 2 * 2 / (3 + 4)}
    assert {name: one.score for name, one in taken.items()} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("one \nHuman: two", ("Human:",), "one"),
        ("a b c", ("c", "b"), "a"),
        ("kept ", ("x",), "kept "),
        ("xyz", ("x",), ""),
        ("kept ", (), "kept "),
    ],
)
def test_answers_are_cut_at_the_first_stop_sequence(text: str, stops: tuple[str, ...], expected: str) -> None:
    assert cut_at(text, stops) == expected


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("exactmatch", "there is no metric 'exactmatch'; did you mean 'exact_match'?"),
        ("rougel", "there is no metric 'rougel'; did you mean 'rouge"),
        ("qqq", "there is no metric 'qqq'; known: exact_match, "),
        ("regex:(", "'regex:(' is not a regular expression"),
    ],
)
def test_a_metric_that_is_none_is_an_error_of_the_recipe(metric: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AnsweringConfig(metrics=(metric,))
    assert message in str(caught.value)


def test_a_metric_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="'f1' is listed twice"):
        AnsweringConfig(metrics=("f1", "f1"))


def test_a_library_that_is_not_installed_is_told_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sft_core.evaluation.answering.metric_names.BUILT_IN", {"bleu": "no-such-library"})
    with pytest.raises(RecipeError, match=r"bleu needs no-such-library, .* pip install 'sft\[metrics\]'"):
        locate_scoring(AnsweringConfig(metrics=("bleu",)))


SCORE = """
def score(samples, prompts, outputs, **metadata):
    import numpy as np
    assert samples == [p + o for p, o in zip(prompts, outputs)]
    assert "references" in metadata
    lengths = np.array([len(output) for output in outputs])
    return {"length": lengths, "level": metadata["level"], "longest": lengths.max(), "some": [None, 4.0]}
"""


def test_a_function_gets_columns_by_name_and_returns_lists_arrays_and_numbers(tmp_path: Path) -> None:
    taken = take(["exact_match", write_module(tmp_path, SCORE)], [("ab", "ab"), ("abcd", "x")])
    assert {name: (one.score, one.values) for name, one in taken.items()} == {
        "exact_match": (0.5, [True, False]),
        "length": (3.0, [2.0, 4.0]),
        "level": (0.5, [0.0, 1.0]),
        "longest": (4.0, None),
        "some": (4.0, [None, 4.0]),
    }


def test_a_function_gets_only_what_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_module(tmp_path, "def score(outputs, level, scale=10):\n    return {'x': [scale * n for n in level]}\n")
    monkeypatch.chdir(tmp_path)
    for name in ("my_metrics.score", "my_metrics:score", "my_metrics.py:score"):
        assert only(name, ("a", "b"), ("a", "b")).values == [0.0, 10.0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 3", "expected a dictionary of name → numbers, found int 3"),
        ("return {'x': [1]}", "'x' has 1 values for 2 answers"),
        ("return {'x': ['a', 'b']}", "expected numbers for 'x', found str 'a'"),
        ("return {'x': float('nan')}", "'x' is nan, which is not a score"),
        ("return {'x': [None, float('nan')]}", "'x' has no number for any of 2 answers"),
        ("return {'a/b': 1}", "expected a name of letters, digits"),
        ("return {'prompt': 1}", "another number or column is called 'prompt'"),
        ("return {'exact_match': 1}", "another number or column is called 'exact_match'"),
        ("return 1 / 0", "failed: ZeroDivisionError: division by zero"),
    ],
)
def test_a_function_that_does_not_work_says_how(tmp_path: Path, body: str, message: str) -> None:
    path = write_module(tmp_path, f"def score(outputs):\n    {body}\n")
    with pytest.raises(RecipeError) as caught:
        take(["exact_match", path], [("a", "a"), ("b", "b")])
    assert f"metric 'my_metrics.score'{'' if 'failed' in message else ':'} {message}" in str(caught.value)


def test_a_function_that_asks_for_a_column_that_is_not_there_says_which_are(tmp_path: Path) -> None:
    path = write_module(tmp_path, "def score(outputs, difficulty):\n    return {}\n")
    with pytest.raises(RecipeError, match="asks for 'difficulty'; there are level, outputs, prompts"):
        take([path], [("a", "a")])


def test_an_edited_function_is_another_scoring_and_a_comment_is_not(tmp_path: Path) -> None:
    def key(text: str) -> str:
        return digest(locate_scoring(AnsweringConfig(metrics=(write_module(tmp_path, text),))))

    first = key("def score(outputs):\n    return {'x': 1}\n")
    assert key("# why\ndef score(outputs):\n    return {'x': 1}\n") == first
    assert key("def score(outputs):\n    return {'x': 2}\n") != first


def test_the_version_of_a_library_is_part_of_the_scoring() -> None:
    assert locate_scoring(AnsweringConfig(metrics=("f1",))) == Scoring()
    assert set(locate_scoring(AnsweringConfig(metrics=("bleu", "chrf", "rougeL"))).libraries) == {
        "sacrebleu",
        "rouge-score",
    }
