"""How fast work goes, and how long what is left will take."""

from dataclasses import dataclass, field

PLACEMENT = "It says how fast work is."


@dataclass(slots=True)
class Pace:
    """Counts from the first thing that was seen done: what came before it is another pace (starting up, another
    process)."""

    _first: tuple[float, float] | None = field(default=None)
    _newest: tuple[float, float] = field(default=(0.0, 0.0))

    def add(self, seconds: float, done: float) -> None:
        """Note that so much was done at a time, in seconds of any clock."""
        self._first = self._first or (seconds, done)
        self._newest = (seconds, done)

    @property
    def per_second(self) -> float | None:
        """How much is done in a second; None before it is known."""
        if self._first is None:
            return None
        seconds, done = self._newest[0] - self._first[0], self._newest[1] - self._first[1]
        return done / seconds if seconds > 0 and done > 0 else None

    def seconds_left(self, total: float) -> float | None:
        """Until `total` is done, at this pace; None before it is known."""
        rate = self.per_second
        return None if rate is None else max(0.0, total - self._newest[1]) / rate


def in_words(seconds: float) -> str:
    """A time as people say it: `40 s`, `12 min`, `3 h 5 min`, `2 d 4 h`."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def left_in_words(seconds: float | None) -> list[str]:
    """The time that is left as the end of a list of facts; nothing where it is not known, or none is left."""
    return [f"about {in_words(seconds)} left"] if seconds else []
