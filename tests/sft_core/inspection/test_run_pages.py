"""What the pages of a run show."""

from typing import Any

from sft_core.evaluation.gains import ScoreGain
from sft_core.inspection.run_pages import (
    comparison_page,
    end_of_prompt,
    loss_page,
    promotion_page,
    samples_rows,
    scorecard_page,
    scores_table,
)

SCORES = {"eval_loss": 1.5, "baseline_eval_loss": 2.25, "num_prompts": 4}
INTERVALS = {"eval_loss": {"low": 1.4, "high": 1.625}}


def sample(model: str, row: int, output: str, **more: Any) -> dict[str, Any]:
    facts = {"step": 3, "model": model, "source": "sums", "row": row, "prompt_tokens_cut": 0, "reference": "4"}
    return {**facts, "prompt": "<|im_start|>user\n2 plus 2<|im_end|>\n", "output": output, **more}


def test_scores_stand_beside_those_before_training() -> None:
    assert scores_table(SCORES, INTERVALS).splitlines() == [
        "| score | before training | after | 95 % interval |",
        "| --- | --- | --- | --- |",
        "| eval_loss | 2.25 | 1.5 | 1.4 to 1.625 |",
        "| num_prompts | – | 4 | – |",
    ]


def test_where_nothing_was_measured_before_there_is_no_column_for_it() -> None:
    head, _, row = scores_table({"f1": 0.5}, {}).splitlines()
    assert (head, row) == ("| score | value | 95 % interval |", "| f1 | 0.5 | – |")


def test_the_verdict_comes_first() -> None:
    assert scorecard_page(SCORES, INTERVALS, "champion: better").startswith("**Gate:** champion: better.\n\n| score |")
    assert scorecard_page(SCORES, INTERVALS, None).startswith("| score |")


def test_a_prompt_has_one_row_with_both_answers() -> None:
    samples = [
        sample("trained", 1, "4", exact_match=True, f1=1.0),
        sample("trained", 2, "5 " * 60, exact_match=False, f1=0.25),
        sample("baseline", 1, "what?", exact_match=False, f1=0.0),
    ]
    first, second = samples_rows(samples)
    assert first == {
        "prompt": "2 plus 2",
        "expected": "4",
        "answer": "4",
        "before training": "what?",
        "exact_match": "yes",
        "f1": "1",
    }
    assert second["answer"] == "5 " * 19 + "5…"
    assert "before training" not in second
    assert list(first)[-1] == "before training", "what is least looked at may be out of sight"
    assert len(samples_rows([sample("trained", row, "4") for row in range(100)])) == 30


def test_of_a_long_prompt_the_question_is_shown() -> None:
    assert end_of_prompt("You are helpful. " * 20 + "What is 2 plus 2?").endswith("helpful. What is 2 plus 2?")
    assert len(end_of_prompt("x" * 500)) == 48


def test_the_loss_is_a_picture_with_words() -> None:
    page = loss_page([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}], "2 steps.")
    assert page.startswith("![loss and held-out loss over the steps](data:image/svg+xml;base64,")
    assert page.endswith(")\n\n2 steps.\n")
    assert loss_page([], "0 steps.") == "No loss was logged.\n\n0 steps.\n"


def test_a_comparison_has_the_gain_with_its_interval_where_rows_can_be_paired() -> None:
    gains = {"f1": ScoreGain(value=0.1, low=-0.02, high=0.2, num_rows=1200)}
    scores = ({"f1": 0.6, "bleu": 30.0, "own": 1.0}, {"f1": 0.5, "bleu": 28.0})
    page = comparison_page("sums/2", "sums/1", scores, gains)
    assert page.splitlines()[4:] == [
        "| f1 | 0.6 | 0.5 | +0.1 | -0.02 to +0.2 | 1,200 |",
        "| bleu | 30 | 28 | – | – | – |",
    ]


def test_a_promotion_shows_the_numbers_that_decided() -> None:
    numbers = {
        "gate": {"metric": "eval_loss"},
        "score": 1.5,
        "champion_score": 1.75,
        "gain": {"value": 0.25, "low": 0.1, "high": 0.4, "num_rows": 30},
        "rule": "better",
    }
    page = promotion_page("`models:/sums/2`", "promoted: 1.5 against 1.75", numbers, {"champion": "2", "previous": "1"})
    assert page.startswith("`models:/sums/2`: **promoted: 1.5 against 1.75**.")
    for line in ("| gain | 0.25 |", "| interval of the gain | 0.1 to 0.4 |", "| champion | 2 |"):
        assert line in page


def test_a_first_version_has_no_champion_to_be_compared_with() -> None:
    numbers = {"gate": {"metric": "f1"}, "score": 0.5, "champion_score": None, "gain": None, "rule": "no champion"}
    page = promotion_page("m", "promoted", numbers, {})
    assert "| f1 of the champion | – |" in page
    assert page.endswith("No version has an alias.\n")


def test_a_roll_back_asked_no_gate() -> None:
    page = promotion_page("m", "champion again, in the place of version 2", None, {"champion": "1"})
    assert page.startswith(
        "m: **champion again, in the place of version 2**.\n\n| alias | version |\n| --- | --- |\n| champion | 1 |\n"
    )
