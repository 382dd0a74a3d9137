"""How fast work goes and what is left."""

import pytest

from tasks.progress.pace import Pace, in_words, left_in_words


def test_the_first_thing_seen_is_where_counting_begins() -> None:
    pace = Pace()
    assert pace.seconds_left(100) is None
    pace.add(50.0, 200)  # 200 steps were done by another process
    assert (pace.per_second, pace.seconds_left(300)) == (None, None)
    pace.add(60.0, 220)
    assert (pace.per_second, pace.seconds_left(300)) == (2.0, 40.0)
    pace.add(100.0, 300)
    assert pace.seconds_left(300) == 0.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (89, "89 s"), (120, "2 min"), (5300, "88 min"), (7500, "2 h 5 min"), (180_000, "2 d 2 h")],
)
def test_times_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_no_time_is_left_where_none_is_known_or_all_is_done() -> None:
    assert left_in_words(None) == left_in_words(0.0) == []
    assert left_in_words(40.0) == ["about 40 s left"]
