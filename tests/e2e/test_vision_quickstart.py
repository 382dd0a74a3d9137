"""The vision quickstart as its recipe says it; by default its first steps on some of its pictures."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PROJECT, Workspace

from tests.full_size import IS_FULL

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
FIRST_STEPS = (
    "sources.0.max_rows=900",
    "training.max_steps=60",
    'training.eval_strategy="no"',
    "training.eval_on_start=false",
    "evaluation.num_prompts=32",
)


@pytest.fixture(scope="module")
def quickstart(new_workspace: Callable[..., Workspace], prefect_url: str) -> Workspace:
    workspace = new_workspace("quickstart", prefect_url=prefect_url)
    made = workspace.folder / "recipes" / "vision_quickstart"
    subprocess.run([sys.executable, PROJECT / "recipes" / "make_vision_quickstart.py", made], check=True, timeout=300)
    recipe = (PROJECT / "recipes" / "vision_quickstart.yaml").read_text(encoding="utf-8")
    Path(workspace.folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    return workspace


def test_a_model_from_nothing_learns_to_see(quickstart: Workspace) -> None:
    found = quickstart.ok("run", *(() if IS_FULL else FIRST_STEPS))
    scores = found["scorecard"]
    assert scores["baseline_exact_match"] == 0.0
    print({name: round(score, 3) for name, score in scores.items()}, f"{found['training']['seconds']:.0f} s")
    if IS_FULL:
        assert scores["exact_match"] >= 0.9
        assert found["is_champion"]
    else:
        assert scores["eval_loss"] < 0.6 < 5 < scores["baseline_eval_loss"], "colours are seen, and most shapes are not"
