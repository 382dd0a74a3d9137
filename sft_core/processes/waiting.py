"""Waiting for a condition that another process or server brings about."""

import math
import time
from collections.abc import Callable
from typing import TypeVar

PLACEMENT = "It decides how long to wait."
Answer = TypeVar("Answer")


def wait_until(condition: Callable[[], Answer], seconds: float = math.inf, every: float = 0.1) -> Answer:
    """Call a condition repeatedly, at least once, until it is true or `seconds` have passed; return its last answer."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()) and time.monotonic() < deadline:
        time.sleep(every)
    return answer
