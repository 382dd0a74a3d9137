"""Settings of Python's garbage collector that keep it from scanning imported modules again and again.

A process of the pipeline imports hundreds of thousands of objects before it does any work. By default the collector
scans them repeatedly during the imports, and once more when the process ends. That takes about a fifth of the processor
time of a look-up, and more of the start of a training (benchmarks/README.md).
"""

import atexit
import gc
from collections.abc import Callable
from typing import TypeVar

PLACEMENT = "It decides when Python collects garbage."

Loaded = TypeVar("Loaded")
YOUNG_OBJECTS = 20_000
"""New objects that trigger a collection of the youngest generation; the default of CPython 3.11 is 700."""


def collect_rarely() -> None:
    """Collect garbage less often from now on, and not when the process ends.

    This is for a command, which imports modules as it needs them.
    """
    gc.set_threshold(YOUNG_OBJECTS)
    atexit.register(gc.freeze)


def uncollected(load: Callable[[], Loaded]) -> Loaded:
    """Call a function that imports modules, and exempt all objects that exist afterwards from garbage collection.

    The collector is off during the call. Objects that are made later are collected as usual, because they may hold
    tensors.
    """
    gc.disable()
    try:
        loaded = load()
    finally:
        gc.enable()
    gc.freeze()
    return loaded
