"""What stays for good is not looked through for garbage; what comes later is collected as always."""

import subprocess
import sys

LOADED = """
import gc, weakref
from sft_core.processes.garbage import uncollected

class Ring:
    def __init__(self):
        self.itself = self

def load():
    assert not gc.isenabled()
    return [[] for _ in range(10_000)]

threshold = gc.get_threshold()
loaded = uncollected(load)
assert gc.isenabled() and gc.get_threshold() == threshold
assert gc.get_freeze_count() > len(loaded)
gone = weakref.ref(Ring())
made = [[] for _ in range(3 * threshold[0])]
assert gone() is None

def broken():
    raise ImportError("broken")

try:
    uncollected(broken)
except ImportError:
    assert gc.isenabled()
"""
COMMAND = """
import atexit, gc, weakref
from sft_core.processes.garbage import YOUNG_OBJECTS, collect_rarely

class Ring:
    def __init__(self):
        self.itself = self

num_frozen = gc.get_freeze_count()  # Python 3.12 freezes some objects by itself
atexit.register(lambda: print("frozen" if gc.get_freeze_count() > num_frozen else "not frozen"))  # runs last
collect_rarely()
gone = weakref.ref(Ring())
made = [[] for _ in range(YOUNG_OBJECTS // 2)]
assert gone() is not None
made += [[] for _ in range(YOUNG_OBJECTS)]
assert gone() is None
print("frozen" if gc.get_freeze_count() > num_frozen else "not frozen")
"""


def said(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_imports_are_not_looked_through_and_what_comes_later_is_collected() -> None:
    assert said(LOADED) == ""


def test_a_command_collects_rarely_and_not_at_its_end() -> None:
    assert said(COMMAND) == "not frozen\nfrozen\n"
