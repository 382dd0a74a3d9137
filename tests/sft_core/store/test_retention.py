"""What of a store goes and what stays."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sft_core.store import occupancy
from sft_core.store.artifact import MANIFEST, ArtifactRef, ArtifactStore, plan_artifact
from sft_core.store.image_store import ImageStore, write_digests
from sft_core.store.records import StageOutcome
from sft_core.store.retention import Pruning, Roots, judge_store, plan_pruning, remove

LONG_AGO, NOW = 1e9, 2e9


class Home:
    """A store with artifacts that name each other as those of a recipe do, all of long ago."""

    def __init__(self, root: Path) -> None:
        self.store = ArtifactStore(root=root, made_by="flow")

    def make(self, stage: str, name: str, facts: dict[str, Any] | None = None, **payload: Any) -> ArtifactRef:
        def write(folder: Path) -> StageOutcome:
            (folder / "file").write_text(name)
            return StageOutcome(facts=facts)

        ref = self.store.build(plan_artifact(stage, name, {"name": name, **payload}), write)
        os.utime(self.store.path(ref) / MANIFEST, (LONG_AGO, LONG_AGO))
        return ref

    def recipe(self, name: str, records: ArtifactRef, content: str) -> dict[str, ArtifactRef]:
        """From records to a scorecard."""
        made = {"records": records}
        made["examples"] = self.make("detect_formats", name, shard={"content": content})
        made["rendered"] = self.make("render_chats", name, shard=made["examples"])
        made["tokens"] = self.make("tokenize_chats", name, shard=made["rendered"])
        made["data"] = self.make("pack_shards", name, inputs={"tokens": [made["tokens"]]})
        made["report"] = self.make("report_data", name, inputs={"dataset": made["data"]})
        made["trained"] = self.make("train_model", name, inputs={"dataset": made["data"]})
        made["scores"] = self.make("evaluate_model", name, inputs={"trained": made["trained"], "dataset": made["data"]})
        return made

    def records(self, *contents: str) -> ArtifactRef:
        shards = [{"content_digest": content} for content in contents]
        return self.make("ingest_sources", "-".join(contents), {"shards": shards})

    def plan(self, since: float = NOW, **roots: Any) -> Pruning:
        return plan_pruning(judge_store(self.store, Roots(**roots), since))

    def going(self, since: float = NOW, **roots: Any) -> set[str]:
        return {entry.key for entry in self.plan(since, **roots).going}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def keys(made: dict[str, ArtifactRef], *names: str) -> set[str]:
    return {made[name].key for name in names or made}


def test_what_a_version_was_made_by_stays_with_all_behind_it_and_the_rest_goes(home: Home) -> None:
    both, only_a, only_b = home.records("one", "two"), home.records("one"), home.records("two")
    a, b = home.recipe("a", both, "one"), home.recipe("b", only_b, "two")
    plan = home.plan(keys={a["trained"].key: "version a/1"})
    assert {entry.key for entry in plan.going} == keys(b) - keys(a)
    assert {entry.kept_for for entry in plan.kept} == {"version a/1"}
    assert {entry.key for entry in plan.kept} == keys(a) | {only_a.key}, "all records that hold its shards"


def test_what_only_tells_of_others_stays_with_them_and_what_is_made_from_them_does_not(home: Home) -> None:
    made = home.recipe("a", home.records("one"), "one")
    assert home.going(keys={made["data"].key: "run"}) == keys(made, "trained", "scores")
    assert home.going(keys={made["trained"].key: "run"}) == set()


def test_what_a_run_made_stays_by_the_runs_id(home: Home) -> None:
    made = home.recipe("a", home.records("one"), "one")
    assert home.going(made_by={"flow": "run 1"}) == set()
    assert home.going(made_by={"another": "run 1"}) == keys(made)


def test_what_was_used_lately_stays_with_all_behind_it(home: Home) -> None:
    made = home.recipe("a", home.records("one"), "one")
    started = time.time() - 1
    assert home.store.use(made["tokens"]) is not None
    assert home.going(started) == keys(made, "data", "report", "trained", "scores")
    assert home.going(LONG_AGO - 1) == set()


def test_a_recipe_that_runs_again_uses_what_is_there(home: Home) -> None:
    made = home.make("detect_formats", "a")
    home.store.build(plan_artifact("detect_formats", "a", {"name": "a"}), never)
    assert home.going(time.time() - 60) == set()
    assert home.going(time.time() + 60) == {made.key}


def never(folder: Path) -> StageOutcome:
    raise AssertionError("it is there")


@pytest.mark.parametrize("name", ["plan.json", "model/adapter_config.json"])
def test_the_model_that_a_training_began_with_stays(home: Home, name: str) -> None:
    base, later = home.make("train_model", "base"), home.make("train_model", "later")
    file = home.store.path(later) / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f'{{"model": {{"path": "{home.store.path(base)}/model"}}}}')
    assert home.going(keys={later.key: "version"}) == set()
    assert home.going(keys={base.key: "version"}) == {later.key}


def test_what_goes_is_gone_and_what_stays_is_whole(home: Home) -> None:
    a, b = home.recipe("a", home.records("one"), "one"), home.recipe("b", home.records("two"), "two")
    plan = home.plan(keys={a["scores"].key: "version"})
    assert plan.total_freed >= 8 * 4096
    assert all(remove(home.store, entry) for entry in plan.going)
    assert all(home.store.find(ref) for ref in a.values())
    assert not any(home.store.path(ref).exists() for ref in b.values())
    assert list((home.store.root / "unfinished").iterdir()) == []
    assert home.going(keys={a["scores"].key: "version"}) == set()


def test_what_was_made_from_others_goes_before_them(home: Home) -> None:
    made = home.recipe("a", home.records("one"), "one")
    for age, ref in enumerate(made.values()):
        os.utime(home.store.path(ref) / MANIFEST, (LONG_AGO + age, LONG_AGO + age))
    assert [entry.key for entry in home.plan().going] == [ref.key for ref in reversed(made.values())]


def test_what_is_locked_or_was_used_since_it_was_looked_at_stays(home: Home) -> None:
    one, two, three = (home.make("detect_formats", name) for name in ("one", "two", "three"))
    entries = {entry.key: entry for entry in home.plan().going}
    home.store.use(two)
    with home.store.lock(one.key):
        assert not remove(home.store, entries[one.key])
    assert not remove(home.store, entries[two.key])
    assert remove(home.store, entries[three.key])
    assert home.store.find(one)
    assert home.store.find(two)
    assert remove(home.store, entries[one.key]), "nobody holds the lock any more"


def test_an_interrupted_training_goes_unless_somebody_is_at_work_on_it(home: Home) -> None:
    work = home.store.work_path(plan_artifact("train_model", "a", {}).ref)
    key = plan_artifact("train_model", "a", {}).ref.key
    (work / "checkpoints").mkdir(parents=True)
    (work / "checkpoints" / "weights").write_bytes(b"x" * 8192)
    with home.store.lock(key):
        (entry,) = home.plan().kept
        assert (entry.kind, entry.kept_for) == ("work", "somebody is at work on it")
    plan = home.plan()
    assert [(entry.kind, entry.path) for entry in plan.going] == [("work", work)]
    assert plan.freed == (8192,)
    assert home.plan(time.time() - 60).going == (), "lately"
    with home.store.lock(key):
        assert not remove(home.store, plan.going[0])
    assert remove(home.store, plan.going[0])
    assert not work.exists()


def test_what_killed_processes_and_downloads_left_goes(home: Home) -> None:
    left = home.store.root / "unfinished" / f"train_model-a-x.{'0' * 32}"
    brought = home.store.root / "downloads" / "m-1"
    for folder in (left, brought):
        folder.mkdir(parents=True)
    with home.store.lock("0" * 32):
        assert [entry.path for entry in home.plan().going] == [brought]
    assert {entry.path for entry in home.plan().going} == {left, brought}


def test_what_runs_said_goes_when_it_is_old(home: Home) -> None:
    said = [home.store.root / "logs" / "train_model-a-1.log", home.store.root / "reports" / "1.json"]
    for file in said:
        file.parent.mkdir(parents=True)
        file.write_text("x" * 5000)
    plan = home.plan()
    assert {(entry.kind, entry.path) for entry in plan.going} == {("log", said[0]), ("report", said[1])}
    assert plan.freed == (8192, 8192)
    assert home.plan(time.time() - 60).kept_by_reason()["made or used lately"]["files"] == 2
    assert all(remove(home.store, entry) for entry in plan.going)
    assert not any(file.exists() for file in said)


def test_a_process_at_work_is_known_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    assert occupancy.at_work_since(tmp_path) is None
    script = (
        "import sys, time; from pathlib import Path; from sft_core.store.occupancy import announce\n"
        "announce(Path(sys.argv[1])); announce(Path(sys.argv[1])); print('here', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    (file,) = (tmp_path / "locks" / "at-work").iterdir()
    os.utime(file, (LONG_AGO, LONG_AGO))
    assert occupancy.at_work_since(tmp_path) == LONG_AGO
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert occupancy.at_work_since(tmp_path) is None
    assert not file.exists()


def test_what_a_process_is_about_to_lock_is_left_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "locks" / "at-work"
    folder.mkdir(parents=True)
    (folder / "1-x").write_text("")
    assert occupancy.at_work_since(tmp_path) is None
    assert (folder / "1-x").exists()


def test_images_stay_as_long_as_data_that_stays_shows_them(home: Home) -> None:
    images = ImageStore.below(home.store.root)
    digests = [images.put(content) for content in (b"first", b"both", b"second", b"nobody's")]

    def gather(name: str, shown: list[str]) -> ArtifactRef:
        def write(folder: Path) -> StageOutcome:
            write_digests(folder, shown)
            return StageOutcome()

        ref = home.store.build(plan_artifact("gather_images", name, {"name": name}), write)
        os.utime(home.store.path(ref) / MANIFEST, (LONG_AGO, LONG_AGO))
        return ref

    partial = images.path(digests[0]).with_suffix(".17-1.partial")
    partial.write_bytes(b"left by a process that was killed")
    first, second = gather("first", digests[:2]), gather("second", digests[1:3])
    for path in images.folder.glob("*/*"):
        os.utime(path, (LONG_AGO - 1, LONG_AGO - 1))
    plan = home.plan(keys={first.key: "version a/1"})
    going = [entry.path for entry in plan.going]
    assert set(going) == {home.store.path(second), partial, *map(images.path, digests[2:])}
    assert going[0] == home.store.path(second), "what shows an image goes before it"
    freed = {entry.path: size for entry, size in zip(plan.going, plan.freed, strict=True)}
    assert all(freed[path] == path.stat().st_blocks * 512 > 0 for path in going[1:])
    assert {entry.kept_for for entry in plan.kept} == {"version a/1"}
    kept = plan.kept_by_reason()["version a/1"]
    assert (kept["folders"], kept["files"]) == (1, 2)
    os.utime(images.path(digests[3]), (NOW, NOW))
    taken_up = next(entry for entry in plan.going if entry.path == images.path(digests[3]))
    assert not remove(home.store, taken_up), "put again meanwhile"
    assert [remove(home.store, entry) for entry in plan.going if entry is not taken_up] == [True] * 3
    assert [images.has(digest) for digest in digests] == [True, True, False, True]
    assert home.plan(since=NOW - 1, keys={first.key: "version a/1"}).going == (), "lately"


def test_artifacts_of_another_version_go_once_they_are_old(tmp_path: Path) -> None:
    home = Home(tmp_path)
    ref = home.make("pack_shards", "sums")
    manifest = home.store.path(ref) / MANIFEST
    manifest.write_text(manifest.read_text().replace('"form": 3', '"form": 2'))
    os.utime(manifest, (LONG_AGO, LONG_AGO))
    (entry,) = home.plan().going
    assert (entry.kind, entry.path) == ("artifact", home.store.path(ref))
    assert home.plan(since=LONG_AGO - 1).going == ()


def test_what_has_taken_the_place_of_an_artifact_that_is_gone_is_kept(tmp_path: Path) -> None:
    """Made anew by other code, it holds the same, and so what was made from the one can be traced to the other."""
    home = Home(tmp_path)
    made = home.recipe("sums", home.records("c1"), "c1")
    again = home.make("tokenize_chats", "sums", shard=made["rendered"], code="other")
    assert again.content == made["tokens"].content
    assert again.key in home.going(keys={made["trained"].key: "a run"})
    shutil.rmtree(home.store.path(made["tokens"]))
    assert again.key not in home.going(keys={made["trained"].key: "a run"})
