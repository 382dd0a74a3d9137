"""A recipe that trains an adapter goes all the way: registered, scored, and answering, merged or not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas
import pytest
from conftest import Workspace

pytestmark = pytest.mark.e2e
LORA = (
    "training.peft={peft_type: LORA, r: 4, target_modules: all-linear}",
    "training.learning_rate=0.02",
    "training.max_steps=12",
    "model.additional_special_tokens=['<think>']",
)


@pytest.fixture(scope="module")
def place(new_workspace: Callable[..., Workspace], prefect_url: str) -> Workspace:
    return new_workspace("adapter", prefect_url=prefect_url)


@pytest.fixture(scope="module", params=[True, False], ids=["merged", "kept apart"])
def report(request: pytest.FixtureRequest, place: Workspace) -> dict[str, Any]:
    return {"merged": request.param, **place.ok("run", *LORA, f"training.merge_adapter={str(request.param).lower()}")}


def test_the_scorecard_is_there_and_the_registered_model_answers(place: Workspace, report: dict[str, Any]) -> None:
    assert report["scorecard"]["eval_loss"] < report["scorecard"]["baseline_eval_loss"] - 0.01
    folder = Path(report["model_dir"])
    assert (folder / "adapter_config.json").exists() != report["merged"]
    assert (folder.parent / "adapter" / "adapter_model.safetensors").exists()
    mlflow.set_tracking_uri(report["tracking_uri"])
    model = mlflow.pyfunc.load_model(report["model_uri"])
    asked = pandas.DataFrame({"prompt": ["1 plus 1 is", "<think>"]})
    assert len(model.predict(asked, params={"max_tokens": 2})) == 2


def test_a_method_that_does_not_exist_is_told_before_any_data_work(place: Workspace) -> None:
    for verb in ("run", "check"):
        outcome = place.sft(verb, "recipe.yaml", "--set", "training.peft={peft_type: LOAR}", "--set", "name=never")
        assert outcome.code == 2
        assert "found 'LOAR'; did you mean 'LORA'?" in outcome.stderr
        assert "ingest" not in outcome.stdout + outcome.stderr
