"""Two processes with a sharded model: the loss, the sums and the gradients of one process with the whole batch."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from sft_core.modeling import Objective, measure_head, supervise
from tests.sft_core.modeling.sharded_head import WAYS, model_of
from tests.sft_core.modeling.test_head import a_batch
from tests.warm import warm_python

PROJECT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    output = tmp_path_factory.mktemp("sharded") / "results.pt"
    launch = [warm_python(), "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launch, "-m", "tests.sft_core.modeling.sharded_head", str(output)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return torch.load(output)


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_say_what_one_says(way: str, of_two_processes: dict[str, Any]) -> None:
    found = of_two_processes[way]
    model, batch = model_of(way), a_batch()
    head = measure_head(model, batch)
    expected = supervise(model, head, batch, Objective("dft"))
    expected.loss.backward()
    torch.testing.assert_close(found["sums"], expected.sums, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found["evaluated"], supervise(model, head, batch).sums, rtol=1e-5, atol=1e-5)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=2e-4, atol=2e-6, msg=name)
