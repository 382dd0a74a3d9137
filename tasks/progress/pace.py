"""Speed of work, and an estimate of the time that is left."""

from dataclasses import dataclass, field

PLACEMENT = "It measures how fast work is."


@dataclass(slots=True)
class Pace:
    """Average speed since the first count that was added.

    Work before that is not included, because it had another speed: start-up, or an earlier process.
    """

    _first: tuple[float, float] | None = field(default=None)
    _newest: tuple[float, float] = field(default=(0.0, 0.0))

    def add(self, seconds: float, done: float) -> None:
        """Add the amount that was done at a time, which is given in seconds of any clock."""
        self._first = self._first or (seconds, done)
        self._newest = (seconds, done)

    @property
    def per_second(self) -> float | None:
        """Amount that is done in a second; None before it is known."""
        if self._first is None:
            return None
        seconds, done = self._newest[0] - self._first[0], self._newest[1] - self._first[1]
        return done / seconds if seconds > 0 and done > 0 else None

    def seconds_left(self, total: float) -> float | None:
        """Return the seconds until `total` is done at this speed; None before it is known."""
        rate = self.per_second
        return None if rate is None else max(0.0, total - self._newest[1]) / rate


def in_words(seconds: float) -> str:
    """Format a duration in readable units: `40 s`, `12 min`, `3 h 5 min`, `2 d 4 h`."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def left_in_words(seconds: float | None) -> list[str]:
    """Return a list with the text `about … left`, or an empty list if the time is not known or is zero."""
    return [f"about {in_words(seconds)} left"] if seconds else []
