"""Python's garbage collector, kept from looking through what stays for good.

A process of ours imports hundreds of thousands of objects before it does anything. By default the collector looks
through them again and again while they come, and once more when the process ends: about a fifth of the processor time
of a look-up, and more of the start of a training (benchmarks/README.md).
"""

import atexit
import gc
from collections.abc import Callable
from typing import TypeVar

PLACEMENT = "It decides when Python looks for garbage."

Loaded = TypeVar("Loaded")
YOUNG_OBJECTS = 20_000
"""New objects between two looks for garbage, where CPython 3.11's own is 700."""


def collect_rarely() -> None:
    """Look for garbage less often from now on, and not at the end: for a command, whose imports come as it needs
    them."""
    gc.set_threshold(YOUNG_OBJECTS)
    atexit.register(gc.freeze)


def uncollected(load: Callable[[], Loaded]) -> Loaded:
    """Import something, with no look for garbage meanwhile, nor ever after at what it brought. What comes later is
    collected as always, for it may hold tensors."""
    gc.disable()
    try:
        loaded = load()
    finally:
        gc.enable()
    gc.freeze()
    return loaded
