"""Two models on the same rows."""

import pyarrow as pa

from sft_core.evaluation.gains import gains_of
from sft_core.store.records import SCORED_ITEMS


def items(*rows: tuple[str, int, float, float]) -> pa.Table:
    names = SCORED_ITEMS.names
    return pa.Table.from_pylist([dict(zip(names, (m, "s", *rest), strict=True)) for m, *rest in rows], SCORED_ITEMS)


RIGHT = items(*(("exact_match", row, 1.0, 1.0) for row in range(20)))
HALF = items(*(("exact_match", row, float(row % 2), 1.0) for row in range(20)))


def test_a_gain_is_the_second_score_minus_the_first_over_shared_rows() -> None:
    fewer = RIGHT.slice(0, 10)
    gain = gains_of(HALF, fewer)["exact_match"]
    assert (gain.value, gain.num_rows) == (0.5, 10)
    assert 0.0 < gain.low < 0.5 < gain.high <= 1.0
    assert gains_of(fewer, HALF)["exact_match"].value == -0.5


def test_equal_models_gain_exactly_nothing() -> None:
    gain = gains_of(HALF, HALF)["exact_match"]
    assert (gain.value, gain.low, gain.high) == (0.0, 0.0, 0.0)


def test_losses_over_other_tokens_are_not_compared() -> None:
    before, after = (
        items(("eval_loss", 0, 6.0, 3.0), ("f1", 0, 0.5, 1.0)),
        items(("eval_loss", 0, 4.0, 4.0), ("f1", 0, 1.0, 1.0)),
    )
    assert set(gains_of(before, after)) == {"f1"}
    assert set(gains_of(before, before)) == {"f1", "eval_loss"}


def test_scores_that_one_model_lacks_have_no_gain() -> None:
    assert gains_of(RIGHT, items(("f1", 0, 1.0, 1.0))) == {}
