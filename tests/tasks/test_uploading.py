"""MLflow killed while a model is uploaded, or just after: the next attempt brings one whole model and one version."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from mlflow.entities import LoggedModelStatus

from sft_core.recipe import Recipe
from tasks.retrying import can_pass
from tasks.tracking import CONTENT_TAG, TrackedRun, Tracker, log_model
from tests.mlflow_servers import MlflowServer, mlflow_server

RECIPE = Recipe(name="r", model={"path": "m"}, sources=[{"path": "x.jsonl"}])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def models(tracker: Tracker, run: TrackedRun) -> list[tuple[str, str]]:
    found = tracker.client.search_logged_models([tracker.experiment_id], f"source_run_id = '{run.run_id}'")
    return [(model.model_id, model.status) for model in found]


def test_an_upload_that_broke_off_is_begun_again_and_one_that_succeeded_is_found(
    server: MlflowServer, tmp_path: Path
) -> None:
    tracker = Tracker(server.uri, "uploading", None, patience_seconds=60)
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    num_beside = 0

    def upload(run: TrackedRun, prove: Callable[[Path, Path], Mapping[str, str]], content: str = "c") -> str:
        nonlocal num_beside
        num_beside += 1
        beside = tmp_path / f"beside-{num_beside}"
        (beside / "code").mkdir(parents=True)
        (beside / "code" / "one.py").write_text("1")
        return log_model(run, "model", weights, beside, 1, {CONTENT_TAG: content}, prove)

    def killing(weights: Path, code: Path) -> Mapping[str, str]:
        server.kill()
        return {}

    with tracker.run(RECIPE, "uploading") as run:
        try:
            with pytest.raises(Exception) as caught:  # noqa: PT011  # which one is for MLflow to say
                upload(run, killing)
            assert can_pass(caught.value), caught.value
        finally:
            server.start()
        ((left, status),) = models(tracker, run)
        assert status == LoggedModelStatus.PENDING

        model_id = upload(run, lambda weights, code: {"proven": "yes"})
        assert models(tracker, run) == [(model_id, LoggedModelStatus.READY)], f"{left} is removed"
        assert upload(run, lambda weights, code: pytest.fail("it is there")) == model_id
        outputs = tracker.client.get_run(run.run_id).outputs.model_outputs
        assert [output.model_id for output in outputs] == [model_id]

        version = tracker.registry.register("m", model_id, run.run_id, {})
        assert tracker.registry.register("m", model_id, run.run_id, {}) == version == "1"

        other = upload(run, lambda weights, code: {}, content="other")
        assert other != model_id
        assert tracker.registry.register("m", other, run.run_id, {}) == "2"
