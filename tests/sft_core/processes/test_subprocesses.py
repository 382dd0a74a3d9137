"""A process that is to end in order is asked once, however its parent ends; a child leaves word of how it ended, also
where what it is made of cannot be imported."""

import os
import subprocess
import sys
import time
from pathlib import Path

from sft_core.processes.subprocesses import EXIT_FAILURE, FAILURE_FILE

PROJECT = Path(__file__).parents[3]
PARENT = """
import subprocess, sys, threading, time
for _ in range(20):
    threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
threading.Thread(target=lambda: subprocess.Popen([sys.executable, "-c", *sys.argv[1:]]).wait(), daemon=True).start()
time.sleep(100)
"""
CHILD = """
import signal, sys, time
from sft_core.processes.subprocesses import end_with_parent
heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(time.monotonic()))
end_with_parent()
end_with_parent()
print("ready", flush=True)
deadline = time.monotonic() + 60
while not heard and time.monotonic() < deadline:
    time.sleep(0.01)
time.sleep(0.5)
with open(sys.argv[1], "w") as file:
    file.write(f"{len(heard)}.")
"""
ROOM = """
from sft_core.processes.subprocesses import run_child

run_child("room")
"""


def run_room(plan: Path, imported: str = "") -> int:
    (plan.parent / "room.py").write_text(f"{imported}\ndef main(plan):\n    plan.write_text('done')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(plan.parent), str(PROJECT)])}
    command = [sys.executable, "-c", ROOM, str(plan)]
    return subprocess.run(command, stderr=subprocess.DEVNULL, env=environment, timeout=120).returncode


def test_what_cannot_be_imported_is_told(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    assert run_room(plan) == 0
    assert plan.read_text() == "done"
    assert run_room(plan, "import a_library_that_is_broken") == EXIT_FAILURE
    assert "ModuleNotFoundError: No module named 'a_library" in (tmp_path / FAILURE_FILE).read_text()


def test_a_parent_of_many_threads_that_is_killed_asks_once(tmp_path: Path) -> None:
    for attempt in range(4):  # by the kernel's own signal, about every second child would be asked more than once
        told = tmp_path / str(attempt)
        parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD, told], stdout=subprocess.PIPE, text=True)
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
        parent.communicate(timeout=60)
        deadline = time.monotonic() + 30
        while not told.exists() or not told.read_text().endswith("."):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert told.read_text() == "1."
