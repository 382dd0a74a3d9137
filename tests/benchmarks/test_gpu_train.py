"""The benchmark that needs a GPU runs, in small, without one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parity
def test_the_gpu_benchmark_runs_and_both_systems_begin_at_the_same_loss() -> None:
    pytest.importorskip("trl")
    command = [sys.executable, "benchmarks/gpu_train.py", "--self-check"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^\| .*B \| 64 \| (\w+) \| (\w+) \| ([\d,]+) \| .* \| ([\d.]+) \|$", done.stdout, re.MULTILINE)
    assert [(system, attention) for system, attention, _, _ in lines] == [("ours", "varlen"), ("trl", "sdpa")]
    assert all(int(speed.replace(",", "")) > 0 for _, _, speed, _ in lines)
    assert float(lines[0][3]) == pytest.approx(float(lines[1][3]), abs=2e-4)
