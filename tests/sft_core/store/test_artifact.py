"""The artifact store: artifacts exist whole or not at all, and are made once."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from sft_core.store.artifact import MANIFEST, ArtifactRef, ArtifactStore, plan_artifact, plan_shards
from sft_core.store.ledger import Ledger
from sft_core.store.records import StageOutcome

PLAN = plan_artifact("ingest_sources", "train", {"rows": 3})


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(root=tmp_path / "store", made_by="run-1")


def write_two_files(folder: Path) -> StageOutcome:
    (folder / "rows.txt").write_text("one\ntwo\n")
    (folder / "more").mkdir()
    (folder / "more" / "rows.txt").write_text("three\n")
    return StageOutcome(ledger=Ledger(rows_in=3, rows_train=3), facts={"columns": ["text"]})


def fail(folder: Path) -> StageOutcome:
    (folder / "half.txt").write_text("half")
    raise RuntimeError("out of paper")


def never(folder: Path) -> StageOutcome:
    raise AssertionError("the artifact exists, so it must not be made again")


def test_what_was_built_is_found(store: ArtifactStore) -> None:
    ref = store.build(PLAN, write_two_files)
    manifest = store.manifest(ref)
    assert [(file.path, file.num_bytes) for file in manifest.files] == [("more/rows.txt", 6), ("rows.txt", 8)]
    assert (manifest.ledger, manifest.facts) == (Ledger(rows_in=3, rows_train=3), {"columns": ["text"]})
    assert (manifest.payload, manifest.made_by) == ({"rows": 3, "stage": "ingest_sources"}, "run-1")


def test_what_exists_is_not_made_again(store: ArtifactStore) -> None:
    store.build(PLAN, write_two_files)
    assert store.build(PLAN, never).key == PLAN.ref.key


def test_another_store_object_on_the_same_root_finds_it(store: ArtifactStore) -> None:
    store.build(PLAN, write_two_files)
    assert ArtifactStore(root=store.root, made_by="run-2").manifest(PLAN.ref).made_by == "run-1"


def test_what_was_never_built_does_not_exist(store: ArtifactStore) -> None:
    assert store.find(PLAN.ref) is None
    with pytest.raises(FileNotFoundError, match="missing or damaged"):
        store.manifest(PLAN.ref)


def test_a_writer_that_fails_leaves_nothing(store: ArtifactStore) -> None:
    with pytest.raises(RuntimeError, match="out of paper"):
        store.build(PLAN, fail)
    assert store.find(PLAN.ref) is None
    assert [path for path in store.root.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_a_writer_that_failed_can_be_followed_by_one_that_does_not(store: ArtifactStore) -> None:
    with pytest.raises(RuntimeError):
        store.build(PLAN, fail)
    store.build(PLAN, write_two_files)
    assert not (store.path(PLAN.ref) / "half.txt").exists()


def test_a_work_folder_outlives_failures_and_goes_once_the_artifact_exists(store: ArtifactStore) -> None:
    half_done = store.work_path(PLAN.ref) / "half.txt"
    half_done.parent.mkdir(parents=True)
    half_done.write_text("half")
    with pytest.raises(RuntimeError):
        store.build(PLAN, fail)
    store.sweep()
    assert half_done.read_text() == "half"
    store.build(PLAN, write_two_files)
    assert not half_done.parent.exists()


def test_a_sweep_removes_the_work_folder_that_a_kill_left_beside_its_artifact(store: ArtifactStore) -> None:
    store.build(PLAN, write_two_files)
    other = plan_artifact("ingest_sources", "train", {"rows": 4}).ref
    for ref in (PLAN.ref, other):
        store.work_path(ref).mkdir(parents=True)
    store.sweep()
    assert not store.work_path(PLAN.ref).exists()
    assert store.work_path(other).exists()
    (store.path(PLAN.ref) / "rows.txt").unlink()  # damaged: whoever makes it anew may be at work
    store.work_path(PLAN.ref).mkdir()
    store.sweep()
    assert store.work_path(PLAN.ref).exists()


def test_a_folder_without_a_manifest_does_not_exist(store: ArtifactStore) -> None:
    store.build(PLAN, write_two_files)
    (store.path(PLAN.ref) / MANIFEST).unlink()
    assert store.find(PLAN.ref) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"ref": null}'])
def test_a_folder_with_a_broken_manifest_does_not_exist(store: ArtifactStore, content: str) -> None:
    store.build(PLAN, write_two_files)
    (store.path(PLAN.ref) / MANIFEST).write_text(content)
    assert store.find(PLAN.ref) is None


def test_a_folder_with_the_manifest_of_another_key_does_not_exist(store: ArtifactStore) -> None:
    store.build(PLAN, write_two_files)
    other = plan_artifact("ingest_sources", "train", {"rows": 4})
    shutil.copytree(store.path(PLAN.ref), store.path(other.ref))
    assert store.find(other.ref) is None


def test_an_artifact_with_a_missing_file_does_not_exist(store: ArtifactStore) -> None:
    store.build(PLAN, write_two_files)
    (store.path(PLAN.ref) / "rows.txt").unlink()
    assert store.find(PLAN.ref) is None


def test_a_file_of_another_size_is_damage_and_is_rebuilt(store: ArtifactStore) -> None:
    store.build(PLAN, write_two_files)
    damaged = store.path(PLAN.ref) / "rows.txt"
    damaged.write_text("one\n")
    assert store.find(PLAN.ref) is None
    store.build(PLAN, write_two_files)
    assert damaged.read_text() == "one\ntwo\n"


def test_a_store_can_be_moved(store: ArtifactStore, tmp_path: Path) -> None:
    store.build(PLAN, write_two_files)
    store.root.rename(tmp_path / "moved")
    assert ArtifactStore(root=tmp_path / "moved").find(PLAN.ref) is not None


def test_an_artifact_lies_under_its_stage_and_name(store: ArtifactStore) -> None:
    assert PLAN.ref.folder == f"artifacts/ingest_sources/train-{PLAN.ref.key[:16]}"
    assert store.path(PLAN.ref) == store.root / PLAN.ref.folder


def test_the_identity_of_an_artifact_is_what_it_holds(store: ArtifactStore) -> None:
    made = [store.build(plan_artifact("ingest_sources", "train", {"code": code}), write_two_files) for code in "ab"]
    assert made[0].key != made[1].key
    assert made[0].content == made[1].content
    on_them = [plan_artifact("detect_formats", "train", {"upstream": ref}) for ref in made]
    assert on_them[0].ref == on_them[1].ref, "who reads it does not depend on how it was made"
    assert on_them[0].payload["upstream"] == made[0].content


def test_a_planned_artifact_has_no_identity_yet() -> None:
    with pytest.raises(ValueError, match="only planned"):
        plan_artifact("detect_formats", "train", {"upstream": PLAN.ref})


@pytest.mark.parametrize("what", ["bytes", "name", "facts", "ledger"])
def test_all_that_a_reader_can_see_is_content(store: ArtifactStore, what: str) -> None:
    def write(folder: Path) -> StageOutcome:
        (folder / ("other.txt" if what == "name" else "rows.txt")).write_text("2" if what == "bytes" else "1")
        rows = 4 if what == "ledger" else 3
        return StageOutcome(
            ledger=Ledger(rows_in=rows, rows_train=rows), facts={"kind": "b" if what == "facts" else "a"}
        )

    def plain(folder: Path) -> StageOutcome:
        (folder / "rows.txt").write_text("1")
        return StageOutcome(ledger=Ledger(rows_in=3, rows_train=3), facts={"kind": "a"})

    before, after = (store.build(plan_artifact("s", "x", {"of": n}), w) for n, w in enumerate([plain, write]))
    assert before.content != after.content


def test_what_a_stage_calls_incidental_is_no_content(store: ArtifactStore) -> None:
    def write(seconds: float) -> Any:
        def fill(folder: Path) -> StageOutcome:
            (folder / "times.json").write_text(str(seconds))
            (folder / "model.txt").write_text("weights")
            return StageOutcome(facts={"seconds": seconds, "steps": 3}, incidental=frozenset({"seconds", "times.json"}))

        return fill

    made = [store.build(plan_artifact("train", "x", {"n": n}), write(n)) for n in (1.0, 2.0)]
    assert made[0].content == made[1].content
    assert store.manifest(made[1]).facts == {"seconds": 2.0, "steps": 3}, "it is kept all the same"


def test_an_artifact_knows_which_ones_it_was_made_from(store: ArtifactStore) -> None:
    below = store.build(PLAN, write_two_files)
    above = store.build(plan_artifact("detect_formats", "train", {"inputs": {"shards": [below]}}), write_two_files)
    assert store.manifest(above).made_from == [below]


def test_a_manifest_of_another_form_is_no_artifact(store: ArtifactStore) -> None:
    ref = store.build(PLAN, write_two_files)
    path = store.path(ref) / MANIFEST
    content = json.loads(path.read_text())
    del content["form"]
    path.write_text(json.dumps(content))
    assert store.find(ref) is None
    assert store.build(PLAN, write_two_files) == ref, "it is made again"


def test_the_stage_is_part_of_the_key() -> None:
    assert plan_artifact("a", "x", {"rows": 3}).ref.key != plan_artifact("b", "x", {"rows": 3}).ref.key


def test_the_name_is_for_people_and_not_part_of_the_key() -> None:
    assert plan_artifact("a", "x", {"rows": 3}).ref.key == plan_artifact("a", "y", {"rows": 3}).ref.key


def shard_plan(shard: str, max_length: int = 64) -> ArtifactRef:
    return plan_shards("tokenize_chats", {"max_length": max_length}, [(shard, shard)])[0].ref


def test_shards_made_with_the_same_settings_lie_in_one_folder() -> None:
    first, second = shard_plan("train-00000"), shard_plan("train-00001")
    assert first.group == second.group
    assert first.key != second.key
    assert Path(first.folder).parent == Path(second.folder).parent == Path("artifacts/tokenize_chats") / first.group


def test_shards_made_with_other_settings_lie_in_another_folder() -> None:
    assert shard_plan("train-00000").group != shard_plan("train-00000", max_length=32).group


def test_the_newest_artifact_of_a_name_is_the_one_that_was_used_last(store: ArtifactStore) -> None:
    for age, rows in ((20, 1), (10, 2)):
        ref = store.build(plan_artifact("ingest_sources", "train", {"rows": rows}), write_two_files)
        os.utime(store.path(ref) / MANIFEST, (1e9 - age, 1e9 - age))
    newest = store.newest_like(plan_artifact("ingest_sources", "train", {"rows": 3}).ref)
    assert newest is not None
    assert newest.payload["rows"] == 2
    assert store.newest_like(plan_artifact("ingest_sources", "other", {"rows": 3}).ref) is None


def test_threads_that_want_the_same_artifact_do_the_work_once(store: ArtifactStore) -> None:
    calls: list[int] = []
    first_is_writing, go_on = threading.Event(), threading.Event()

    def write_slowly(folder: Path) -> StageOutcome:
        calls.append(1)
        first_is_writing.set()
        go_on.wait(10)
        return write_two_files(folder)

    threads = [threading.Thread(target=store.build, args=(PLAN, write_slowly)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert first_is_writing.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert (len(calls), store.find(PLAN.ref) is not None) == (1, True)


BUILD = """
import sys, time
from pathlib import Path
from sft_core.store.artifact import ArtifactStore, plan_artifact
from sft_core.store.records import StageOutcome

root, seconds = Path(sys.argv[1]), float(sys.argv[2])

def write(folder):
    (folder / "rows.txt").write_text("one")
    with (root / "calls.txt").open("a") as calls:
        calls.write("called ")
    print("writing", flush=True)
    time.sleep(seconds)
    return StageOutcome()

print(ArtifactStore(root=root).build(plan_artifact("ingest_sources", "train", {"rows": 3}), write).key, flush=True)
"""


def start_building(root: Path, seconds: float) -> "subprocess.Popen[str]":
    """A process that builds `PLAN` in so many seconds."""
    root.mkdir(parents=True, exist_ok=True)
    checkout = Path(__file__).parents[3]
    command = [sys.executable, "-c", BUILD, str(root), str(seconds)]
    return subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, text=True)


def test_processes_that_want_the_same_artifact_do_the_work_once(store: ArtifactStore) -> None:
    processes = [start_building(store.root, 0.5) for _ in range(3)]
    outputs = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [output[-1] for output in outputs] == [PLAN.ref.key] * 3
    assert (store.root / "calls.txt").read_text() == "called "


def test_a_process_killed_while_it_builds_leaves_no_artifact_and_no_lock(store: ArtifactStore) -> None:
    process = start_building(store.root, 600)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert store.find(PLAN.ref) is None
    assert not store.path(PLAN.ref).exists()
    with (store.root / "locks" / f"{PLAN.ref.key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if anybody holds it
    assert store.build(PLAN, write_two_files).key == PLAN.ref.key


def test_a_manifest_is_json_that_people_can_read(store: ArtifactStore) -> None:
    folder = store.path(store.build(PLAN, write_two_files))
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["payload"] == {"rows": 3, "stage": "ingest_sources"}
    assert manifest["files"][1]["path"] == "rows.txt"
