"""MLflow gone while a model is on its way to it: the upload goes on when it is back, and nothing is there twice."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from sft_core.errors import TrackerAwayError
from sft_core.recipe import Recipe
from tasks.tracking import Tracker, log_model, tracked_run
from tests.mlflow_servers import MlflowServer, mlflow_server

pytestmark = pytest.mark.slow

RECIPE = Recipe(name="r", model={"path": "m"}, sources=[{"path": "x.jsonl"}])
NUM_SHARDS = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    monkeypatch.setattr(tracked_run, "RETRY_SECONDS", 0.2)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A model folder in several files."""
    (folder := tmp_path / "weights").mkdir()
    (folder / "config.json").write_text("{}")
    for shard in range(NUM_SHARDS):
        (folder / f"model-{shard}.safetensors").write_bytes(bytes([shard]) * 1000)
    return folder


def beside(folder: Path) -> Path:
    (made := folder / "beside" / "model").mkdir(parents=True)
    (made / "README.md").write_text("a model")
    return made.parent


class LosingClient(MlflowClient):
    """Its first answer to each of these calls is lost, though the server has done what it was asked."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.lost: list[str] = []

    def _lose(self, name: str, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        answer = call(*args, **kwargs)
        if name not in self.lost:
            self.lost.append(name)
            raise MlflowException("the answer was lost")
        return answer

    def create_logged_model(self, *args: Any, **kwargs: Any) -> Any:
        return self._lose("create", super().create_logged_model, *args, **kwargs)

    def log_outputs(self, *args: Any, **kwargs: Any) -> Any:
        return self._lose("outputs", super().log_outputs, *args, **kwargs)

    def create_model_version(self, *args: Any, **kwargs: Any) -> Any:
        return self._lose("version", super().create_model_version, *args, **kwargs)


class BreakingClient(MlflowClient):
    """Its server dies when the first file of a model has arrived."""

    def __init__(self, uri: str, breaks: Callable[[], None]) -> None:
        super().__init__(uri)
        self._breaks, self.sent = breaks, list[str]()

    def log_model_artifacts(self, model_id: str, local_dir: str, artifact_path: str | None = None) -> None:
        if not self.sent:
            super().log_model_artifact(model_id, f"{local_dir}/model-0.safetensors", artifact_path)
            self.sent.append("model-0.safetensors")
            self._breaks()
        super().log_model_artifacts(model_id, local_dir, artifact_path)

    def log_model_artifact(self, model_id: str, local_path: str, artifact_path: str | None = None) -> None:
        super().log_model_artifact(model_id, local_path, artifact_path)
        self.sent.append(Path(local_path).name)


def models_of(tracker: Tracker, run_id: str) -> list[Any]:
    return list(tracker.client.search_logged_models([tracker.experiment_id], f"source_run_id = '{run_id}'"))


def test_an_upload_goes_on_when_the_server_is_back(
    server: MlflowServer, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = Tracker(server.uri, "upload", None, patience_seconds=120)
    back: list[threading.Thread] = []
    proofs: list[Path] = []

    def die() -> None:
        server.kill()
        back.append(threading.Thread(target=lambda: (time.sleep(2), server.start())))
        back[-1].start()

    def prove(stored: Path, _: Path) -> dict[str, str]:
        proofs.append(stored)
        return {"sft.verified": "yes"}

    tracker.client = client = BreakingClient(server.uri, die)
    with tracker.run(RECIPE, "upload") as run:
        model_id = log_model(run, "m", weights, beside(tmp_path), 3, {}, prove, key="k")
        back[0].join(300)

    assert "uploading the model waits for it" in capsys.readouterr().err
    assert client.sent.count("model-0.safetensors") == 1, "what had arrived is not sent again"
    assert sorted(client.sent) == ["config.json", *(f"model-{shard}.safetensors" for shard in range(NUM_SHARDS))]
    assert proofs == [weights], "once, however often it is sent"
    [model] = models_of(tracker, run.run_id)
    assert (model.model_id, model.status, model.tags["sft.verified"]) == (model_id, "READY", "yes")
    names = {item.path for item in client.list_logged_model_artifacts(model_id, "model")}
    assert names == {"model/README.md", *(f"model/{file.name}" for file in weights.iterdir())}


def test_what_was_done_without_an_answer_is_not_done_twice(server: MlflowServer, weights: Path, tmp_path: Path) -> None:
    tracker = Tracker(server.uri, "upload", None)
    tracker.client = client = LosingClient(server.uri)
    tracker.registry._client = client
    with tracker.run(RECIPE, "lost") as run:
        model_id = log_model(run, "m", weights, beside(tmp_path), 3, {}, key="k")
        version = run.insist("registering", lambda: tracker.registry.register("lost", model_id, run.run_id, {}))
    assert client.lost == ["create", "outputs", "version"]
    assert [model.model_id for model in models_of(tracker, run.run_id)] == [model_id]
    assert [output.model_id for output in client.get_run(run.run_id).outputs.model_outputs] == [model_id]
    assert version == "1"
    assert len(client.search_model_versions("name = 'lost'")) == 1


def test_a_server_that_stays_away_ends_the_upload_and_the_same_command_goes_on_with_it(
    server: MlflowServer, weights: Path, tmp_path: Path
) -> None:
    tracker = Tracker(server.uri, "upload", None, patience_seconds=1)
    tracker.client = BreakingClient(server.uri, server.kill)
    extra = beside(tmp_path)

    def upload(tracker: Tracker) -> str:
        with tracker.run(RECIPE, "away") as run:
            return log_model(run, "m", weights, extra, 3, {}, key="k")

    try:
        with pytest.raises(TrackerAwayError, match="does not answer"):
            upload(tracker)
    finally:
        server.start()
    again = Tracker(server.uri, "upload", None)
    [run] = again.client.search_runs([again.experiment_id], "tags.`sft.run_key` = 'away'")
    [begun] = models_of(again, run.info.run_id)
    assert begun.status == "PENDING"
    assert upload(again) == begun.model_id
    assert again.client.get_logged_model(begun.model_id).status == "READY"
