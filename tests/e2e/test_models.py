"""One run's model from every side: proven, stored once, described, found by its scores, served, and talked to."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Workspace, write_rows

from tests.loopback import free_port, wait_until_up

pytestmark = pytest.mark.e2e
MESSAGES = [{"role": "user", "content": "1 plus 1 is"}]
CHAT = (
    "chat.chat_template_path=chatml",
    "tokens.max_length=160",
    "gates.max_unstopped_fraction=1",
    "sources.0.columns={}",
    "training.keep_checkpoints=true",
    "training.save_steps=3",
)


@pytest.fixture(scope="module")
def place(new_workspace: Callable[..., Workspace], prefect_url: str) -> Workspace:
    workspace = new_workspace("models", prefect_url=prefect_url)
    turns = [(f"{i} plus {i % 7} is", str(i + i % 7)) for i in range(300)]
    rows = [
        {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
        for question, answer in turns
    ]
    write_rows(workspace.data, rows)
    return workspace


@pytest.fixture(scope="module")
def report(place: Workspace) -> dict[str, Any]:
    return place.ok("run", *CHAT)


@pytest.fixture(scope="module")
def client(place: Workspace, report: dict[str, Any]) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{place.home}/mlflow.db")


@pytest.fixture(scope="module")
def model(client: Any) -> Any:
    version = client.get_model_version_by_alias("sums", "champion")
    return client.get_logged_model(version.source.removeprefix("models:/"))


@pytest.fixture(scope="module")
def stored(model: Any) -> Path:
    """The folder of the logged model."""
    return Path(model.artifact_location.removeprefix("file://"))


@pytest.fixture(scope="module")
def direct(report: dict[str, Any]) -> str:
    """What the trained model answers, asked without MLflow."""
    from sft_core.registry.serving import ChatModel

    told: list[str] = []
    answer = ChatModel(Path(report["model_dir"])).say(MESSAGES, 5, 0.0, told.append)
    assert answer == "".join(told)
    return answer


def test_it_was_proven_by_the_code_beside_it_before_it_was_ready(model: Any, stored: Path) -> None:
    assert str(model.status) == "READY"
    share = re.fullmatch(r"logits differ by (\S+) of their spread; float32 allows 0.001", model.tags["sft.verified"])
    assert share is not None
    assert float(share[1]) < 1e-5
    assert not list(stored.rglob("__pycache__"))


def test_the_weights_lie_on_the_disk_once(report: dict[str, Any], stored: Path) -> None:
    trained = Path(report["model_dir"])
    for file in trained.iterdir():
        assert (stored / "model" / file.name).stat().st_ino == file.stat().st_ino
    assert not (trained / "README.md").exists(), "the training's folder stays as it was"


def test_it_is_a_plain_folder_as_vllm_loads_it(stored: Path) -> None:
    names = {file.name for file in (stored / "model").iterdir()}
    assert names >= {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "README.md"}
    assert json.loads((stored / "model/config.json").read_text())["architectures"] == ["LlamaForCausalLM"]


def test_its_card_tells_data_scores_and_how_to_load_it(report: dict[str, Any], stored: Path) -> None:
    _, head, card = (stored / "model/README.md").read_text().split("---\n", 2)
    metadata = yaml.safe_load(head)
    (index,) = metadata.pop("model-index")
    assert metadata == {"library_name": "transformers", "pipeline_tag": "text-generation", "tags": ["sft"]}
    assert index["name"] == "sums"
    scores = {score["type"]: score["value"] for result in index["results"] for score in result["metrics"]}
    assert scores["eval_loss"] == pytest.approx(report["scorecard"]["eval_loss"])
    manifest = json.loads((Path(report["artifacts"]["pack_shards"]) / "manifest.json").read_text())
    for split in manifest["facts"]["splits"].values():
        assert f"| {split['rows']:,} | {split['tokens']:,} | `{split['digest']}` |" in card
    before, after = (report["scorecard"][name] for name in ("baseline_eval_loss", "eval_loss"))
    assert f"| `eval_loss` | {before:.4g} | {after:.4g} |" in card
    assert "sft chat models:/sums@champion" in card


def test_the_best_model_on_a_data_set_is_found_by_its_score(report: dict[str, Any], client: Any, model: Any) -> None:
    digest = json.loads((Path(report["artifacts"]["pack_shards"]) / "manifest.json").read_text())["facts"]["splits"]
    data = {"dataset_name": "sums-eval", "dataset_digest": digest["eval"]["digest"]}
    order = [{"field_name": "metrics.eval_loss", "ascending": True, **data}]
    found = client.search_logged_models([report["experiment_id"]], datasets=[data], order_by=order)
    losses = [{metric.key: metric.value for metric in one.metrics}["eval_loss"] for one in found]
    assert losses == sorted(losses)
    assert {one.name for one in found} == {"sums", "checkpoint-3", "checkpoint-6"}
    assert {metric.key: metric.value for metric in model.metrics} == {
        name: pytest.approx(value) for name, value in report["scorecard"].items() if not name.startswith("baseline_")
    }
    elsewhere = [{"dataset_name": "sums-eval", "dataset_digest": "0" * 32}]
    assert not client.search_logged_models([report["experiment_id"]], datasets=elsewhere)


def test_checkpoints_are_known_where_they_lie_with_their_scores(report: dict[str, Any], client: Any) -> None:
    found = client.search_logged_models([report["experiment_id"]], "name LIKE 'checkpoint-%'")
    losses = {point.step: point.value for point in client.get_metric_history(report["mlflow_run_id"], "eval_loss")}
    for step in (3, 6):
        (known,) = (one for one in found if one.name == f"checkpoint-{step}")
        folder = Path(known.tags["path"])
        assert (folder / "model.safetensors").exists()
        assert folder.is_relative_to(report["artifacts"]["train_model"])
        assert not client.list_logged_model_artifacts(known.model_id), "nothing is copied"
        (loss,) = (metric for metric in known.metrics if metric.key == "eval_loss")
        assert (loss.step, loss.value) == (step, pytest.approx(losses[step], rel=1e-5))
    run = client.get_run(report["mlflow_run_id"])
    assert {output.step for output in run.outputs.model_outputs} == {3, 6}
    points = client.get_metric_history(report["mlflow_run_id"], "loss")
    assert [point.step for point in points] == [2, 4, 6]


@pytest.fixture(scope="module")
def server(place: Workspace, report: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`mlflow models serve` on the loopback, ended by its pid."""
    port = free_port()
    serve = ["-m", "mlflow", "models", "serve", "-m", "models:/sums@champion", "--env-manager", "local"]
    environment = {**place.environment(), "MLFLOW_TRACKING_URI": f"sqlite:///{place.home}/mlflow.db"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    del environment["PYTHONPATH"]  # the code beside the weights has to do
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *serve, "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            cwd=log.parent,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until_up(process, log, lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5))
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def test_mlflow_serves_it_and_it_answers_a_chat_as_it_does_directly(server: str, direct: str) -> None:
    body = json.dumps({"messages": MESSAGES, "max_tokens": 5}).encode()
    request = urllib.request.Request(server, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.status == 200
        assert json.loads(response.read()) == [direct]


@pytest.mark.parametrize("name", ["models:/sums@champion", "{model_dir}"])
def test_one_question_through_a_pipe_gets_the_same_answer(
    place: Workspace, report: dict[str, Any], direct: str, name: str
) -> None:
    command = ["chat", name.format(**report), "--max-tokens", "5"]
    in_words, as_json = (place.sft(*command, *flags, typed="1 plus 1 is\n") for flags in ([], ["--json"]))
    assert in_words.code == as_json.code == 0, in_words.stderr + as_json.stderr
    assert in_words.stdout == direct + "\n"
    assert as_json.result["answer"] == direct
