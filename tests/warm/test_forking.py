"""What is forked behaves as a process of its own, and what the server does not know is run by the interpreter."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.warm import warm_python
from tests.warm.start import CHECKOUT

pytestmark = pytest.mark.slow
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CHECKOUT)}


def run(folder: Path, *words: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    command = [str(warm_python()), *words]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT | changes, capture_output=True, text=True, timeout=300)


def waiting() -> "tuple[subprocess.Popen[str], int]":
    """Start a process that waits; return what stands for it and the id of what was forked."""
    process = subprocess.Popen(
        [warm_python(), "-m", "tests.warm.waiting"], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def has_ended(pid: int) -> bool:
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not Path(f"/proc/{pid}").exists()


def test_output_and_exit_code_are_those_of_the_command(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "sft_cli.main", "check", "nothing.yaml", SFT_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sft: expected a recipe at ")


def test_a_signal_reaches_what_was_forked_and_its_ending_is_passed_on() -> None:
    process, forked = waiting()
    assert forked != process.pid
    process.terminate()
    assert process.wait(60) == -signal.SIGTERM
    assert has_ended(forked)


def test_what_was_forked_ends_with_the_process_that_stands_for_it() -> None:
    process, forked = waiting()
    process.kill()
    process.wait(60)
    assert has_ended(forked)


def test_other_code_is_imported_anew_and_other_programs_are_run_by_the_interpreter(tmp_path: Path) -> None:
    (tmp_path / "sft_core").mkdir()
    (tmp_path / "sft_core" / "__init__.py").touch()
    (tmp_path / "sft_core" / "training.py").write_text("print('other code')\n")
    assert run(tmp_path, "-m", "sft_core.training").stdout == "other code\n"
    assert run(tmp_path, "-c", "import sys; print(sys.executable)").stdout.strip() == sys.executable
