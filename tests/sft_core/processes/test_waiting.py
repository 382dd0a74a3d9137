"""A wait returns the first answer that is true, or the last one that is not."""

import time

from sft_core.processes.waiting import wait_until


def test_it_asks_until_the_answer_is_true() -> None:
    answers = iter(["", "", "yes", "again"])
    assert wait_until(lambda: next(answers), every=0.0) == "yes"


def test_it_asks_once_without_any_time_and_gives_up_after_it() -> None:
    asked: list[float] = []
    assert not wait_until(lambda: asked.append(time.monotonic()), seconds=0.0)
    assert len(asked) == 1
    assert wait_until(list, seconds=0.05, every=0.01) == []
    assert time.monotonic() - asked[0] >= 0.05
