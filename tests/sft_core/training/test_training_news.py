"""What a log gets of a training: enough to follow it, and never too much."""

from collections.abc import Iterator
from typing import Any

import pytest

from sft_core.training.news import MESSAGES, NewestMetrics, News, describe


def training(num_steps: int, seconds_a_step: float, eval_steps: int) -> Iterator[dict[str, Any]]:
    """Every step a line, and evaluations between them."""
    for step in range(1, num_steps + 1):
        line = {"step": step, "max_steps": num_steps, "time": step * seconds_a_step, "epoch": step / num_steps}
        yield {**line, "loss": 2.0, "tokens_per_second": 1234.5}
        if step % eval_steps == 0:
            yield {**line, "eval_loss": 1.5}


def told(num_steps: int, seconds_a_step: float = 1.0, eval_steps: int = 500) -> list[str]:
    news = News()
    return [text for line in training(num_steps, seconds_a_step, eval_steps) if (text := news.of(line))]


@pytest.mark.parametrize("seconds_a_step", [0.01, 1.0, 60.0])
def test_ten_thousand_steps_with_an_evaluation_each_are_a_bounded_log(seconds_a_step: float) -> None:
    texts = told(10_000, seconds_a_step, eval_steps=1)
    steps = [text for text in texts if "held-out" not in text]
    assert len(steps) <= MESSAGES + 1
    assert len(texts) - len(steps) <= MESSAGES + 1
    assert texts[-2].startswith("step 10,000 of 10,000"), "the end is always told"


def test_steps_are_told_half_a_minute_apart_and_each_evaluation_once() -> None:
    texts = told(300, eval_steps=50)
    steps = [text.split(",")[0] for text in texts if "held-out" not in text]
    assert steps == [f"step {step} of 300" for step in (1, *range(31, 300, 30), 300)]
    assert sum("held-out loss 1.5" in text for text in texts) == 6


def test_a_checkpoint_is_told_once_and_seldom() -> None:
    news = News()
    assert [step for step in range(1, 10_001) if news.is_new_checkpoint(step, 10_000)][:3] == [1, 51, 101]
    assert not news.is_new_checkpoint(10_000, 10_000), "it was told"


def test_newest_metrics_are_the_newest_of_each_number() -> None:
    newest = NewestMetrics()
    newest.add({"step": 50, "max_steps": 400, "time": 1.0, "eval_loss": 1.25, "epoch": 0.5})
    newest.add({"step": 60, "max_steps": 400, "time": 2.0, "loss": 2.0, "epoch": 0.6, "tokens_per_second": 1234.5})
    assert newest.in_words() == "step 60 of 400, epoch 0.60, loss 2, held-out loss 1.25, 1,234 tokens/s"


def test_what_a_line_has_not_is_left_out() -> None:
    assert describe({"step": 1, "max_steps": 2}) == "step 1 of 2"
