"""Twenty losses of a training with dropout, as they were: whatever changes them changes every training.

To renew them, after a change that is meant to: `PYTHONPATH=. python -m tests.sft_core.training.test_golden_losses`.

Sums of floats depend on the order of their terms, and PyTorch chooses that by the instructions that the CPU has and
from version to version. So the bits are compared where the recorded instructions and versions are those at hand, and
five digits elsewhere.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.sft_core.training.tiny_training import tiny_training

GOLDEN = Path(__file__).with_name("golden_losses.json")
OPTIONS = {"max_steps": 20, "logging_steps": 1, "eval_strategy": "no", "eval_on_start": False, "save_strategy": "no"}


def environment() -> dict[str, str]:
    """What the last bits hang on."""
    return {
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def losses(root: Path) -> list[float]:
    training = tiny_training(root, "golden", **OPTIONS)
    training.finish()
    return [line["loss"] for line in training.lines()]


def test_the_losses_are_as_they_were(tmp_path: Path) -> None:
    golden: dict[str, Any] = json.loads(GOLDEN.read_text())
    found = losses(tmp_path)
    assert len(found) == 20
    if golden["environment"] == environment():
        assert found == golden["losses"]
    else:
        assert found == pytest.approx(golden["losses"], rel=1e-5)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        golden = {"environment": environment(), "losses": losses(Path(folder))}
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")
