"""What versions and runs in MLflow keep of a home, and what of MLflow's own files goes."""

import os
import time
from pathlib import Path

import pytest

from sft_core.store.artifact import MANIFEST, ArtifactRef, ArtifactStore, plan_artifact
from sft_core.store.records import StageOutcome
from sft_core.store.retention import Pruning
from tasks.remove_unneeded import find_unneeded, remove_all, remove_unneeded
from tasks.tracking import RegisteredVersion, Tracker
from tests.fresh_mlflow import open_sqlite
from tests.tasks.registered import register

pytestmark = pytest.mark.slow

LONG_AGO = 1e9


class Home:
    """A store, and the registry in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, ArtifactStore(root=folder, made_by="flow")
        self.tracker: Tracker = open_sqlite(folder)

    def train(self, name: str) -> ArtifactRef:
        return self.make("train_model", name)

    def make(self, stage: str, name: str, facts: dict[str, str] | None = None, **inputs: object) -> ArtifactRef:
        plan = plan_artifact(stage, name, {"name": name, "inputs": inputs})
        ref = self.store.build(plan, lambda folder: StageOutcome(facts=facts))
        os.utime(self.store.path(ref) / MANIFEST, (LONG_AGO, LONG_AGO))
        return ref

    def register(self, trained: ArtifactRef) -> RegisteredVersion:
        tags = {"sft.artifact.train_model": trained.key}
        return register(self.tracker, self.folder / "made", 1.0, name="kept", **tags)

    def registration(self, trained: ArtifactRef, version: str, uri: str | None = None) -> ArtifactRef:
        """The artifact that remembers a version."""
        tracker = {"tracking_uri": uri or self.tracker.tracking_uri}
        facts = {"name": "kept", "version": version}
        return self.make("register_model", f"v{version}", facts, trained=trained, registration={"tracker": tracker})

    def plan(self, keep_days: float = 0.0, keep_runs: int = 0) -> Pruning:
        return find_unneeded(keep_days, keep_runs, store=self.store)

    def going(self, keep_days: float = 0.0, keep_runs: int = 0) -> set[str]:
        return {entry.key for entry in self.plan(keep_days, keep_runs).going if entry.kind == "artifact"}

    def files(self, version: RegisteredVersion) -> Path:
        return self.folder / "artifacts" / "sft" / "models" / version.model_id


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Home(tmp_path)


def test_registered_versions_and_their_aliases_keep_what_they_were_made_by(home: Home) -> None:
    first, second, third = (home.train(name) for name in "abc")
    registered = [home.register(ref) for ref in (first, second)]
    remembered = [home.registration(first, "1"), home.registration(second, "2")]
    home.tracker.registry.set_alias("kept", "champion", "2")
    plan = home.plan()
    assert [entry.key for entry in plan.going] == [third.key]
    assert {entry.kept_for for entry in plan.kept} == {"version kept/1", "version kept/2 @champion"}
    home.tracker.client.delete_model_version("kept", "1")
    assert home.going() == {first.key, third.key, remembered[0].key}
    assert home.files(registered[0]).exists()


def test_a_registration_in_an_mlflow_that_was_not_asked_keeps_everything(home: Home) -> None:
    trained = home.train("a")
    home.registration(trained, "1", "http://elsewhere")
    plan = home.plan()
    assert plan.going == ()
    assert {entry.kept_for for entry in plan.kept} == {"registered in http://elsewhere, which was not queried"}


def test_a_running_run_keeps_what_was_used_since_it_began_and_the_newest_keep_what_they_made(home: Home) -> None:
    before, since = home.train("before"), home.train("since")
    client = home.tracker.client
    hours_ago = time.time() - 7200
    os.utime(home.store.path(since) / MANIFEST, (hours_ago + 60, hours_ago + 60))
    assert home.going() == {before.key, since.key}
    run = client.create_run(
        home.tracker.experiment_id, start_time=int(hours_ago * 1000), tags={"sft.host": "elsewhere"}
    )
    assert home.going() == {before.key}
    client.set_terminated(run.info.run_id, "FINISHED")
    assert home.going() == {before.key, since.key}
    client.set_tag(run.info.run_id, "prefect.flow_run_id", "flow")
    assert home.going(keep_runs=1) == set()
    client.set_tag(run.info.run_id, "prefect.flow_run_id", "another")
    client.set_tag(run.info.run_id, "sft.artifact.train_model", before.key)
    assert home.going(keep_runs=1) == {since.key}
    assert home.going(keep_runs=0) == {before.key, since.key}


def test_a_run_whose_process_is_dead_keeps_nothing(home: Home) -> None:
    import socket

    trained = home.train("a")
    owner = {"sft.host": socket.gethostname(), "sft.pid": "999999999"}
    home.tracker.client.create_run(home.tracker.experiment_id, start_time=0, tags=owner)
    assert home.going() == {trained.key}


def test_files_of_deleted_runs_and_models_go_but_not_what_a_version_needs(home: Home) -> None:
    client, trained = home.tracker.client, home.train("a")
    needed, of_deleted_run, deleted, alive = (home.register(trained) for _ in range(4))
    for version in (of_deleted_run, deleted, alive):
        client.delete_model_version("kept", version.version)
    client.delete_run(needed.run_id)
    client.delete_run(of_deleted_run.run_id)
    client.delete_logged_model(deleted.model_id)
    client.log_text(alive.run_id, "words", "words.txt")
    for version in (needed, of_deleted_run):
        run_folder = home.folder / "artifacts" / "sft" / version.run_id / "artifacts"
        run_folder.mkdir(parents=True)
        (run_folder / "recipe.yaml").write_text("name: a")
    assert not [entry for entry in home.plan(keep_days=1.0).going if entry.kind in ("model", "run")], "lately"
    time.sleep(0.05)
    plan = home.plan()
    gone = {entry.path.relative_to(home.folder / "artifacts" / "sft").as_posix() for entry in plan.going}
    assert gone == {
        f"models/{of_deleted_run.model_id}",
        f"models/{deleted.model_id}",
        f"{of_deleted_run.run_id}/artifacts",
    }
    assert remove_all(plan, home.store) == []
    assert [home.files(version).exists() for version in (needed, of_deleted_run, deleted, alive)] == [
        True,
        False,
        False,
        True,
    ]
    assert client.get_logged_model(needed.model_id).status == "READY"
    assert home.tracker.registry.recipe_text(needed, home.folder)
    assert home.plan().going == ()


def test_models_of_another_store_that_lie_in_the_same_folder_stay(
    home: Home, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shared = tmp_path_factory.mktemp("mlruns")
    client = home.tracker.client
    experiment = client.create_experiment("shared", artifact_location=shared.as_uri())
    run = client.create_run(experiment)
    ours = client.create_logged_model(experiment, name="m", source_run_id=run.info.run_id)
    for model_id in (ours.model_id, "m-" + "0" * 32):
        (shared / "models" / model_id / "artifacts").mkdir(parents=True)
    time.sleep(0.05)
    assert home.plan().going == ()
    client.delete_run(run.info.run_id)
    assert [entry.path.name for entry in home.plan().going] == [ours.model_id]


def test_a_home_without_mlflow_keeps_what_was_used_lately(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = ArtifactStore(root=tmp_path)
    ref = store.build(plan_artifact("ingest_sources", "a", {}), lambda folder: StageOutcome())
    assert find_unneeded(1.0, 5, store=store).going == ()
    assert [entry.key for entry in find_unneeded(0.0, 5, store=store).going] == [ref.key]
    assert not (tmp_path / "mlflow.db").exists()
    assert remove_unneeded.fn(0.0, 5, True, store=store)[1] == []
    assert store.find(ref)
    assert remove_unneeded.fn(0.0, 5, False, store=store)[1] == []
    assert not store.path(ref).exists()
