"""A model's files are stored once: measured in bytes of the disk and of memory, while they are logged."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sft_core.recipe import Recipe
from tasks.tracking import Tracker, log_model
from tasks.tracking.model_files import check_stored, link_folder, local_folder
from tests.fresh_mlflow import open_sqlite

RECIPE = Recipe(name="r", model={"path": "m"}, sources=[{"path": "x.jsonl"}])
MIB = 1 << 20


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    folder = tmp_path_factory.mktemp("mlflow")
    return open_sqlite(folder)


def write_model(folder: Path, megabytes: int) -> Path:
    """A folder of real bytes, that no file system leaves out or packs."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    with (folder / "model.safetensors").open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(MIB))
        file.flush()
        os.fsync(file.fileno())
    return folder


def companions(folder: Path) -> Path:
    """A card, and a file of code."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "README.md").write_text("ours")
    (folder / "code").mkdir()
    (folder / "code" / "one.py").write_text("1")
    return folder


def disk_bytes(*folders: Path) -> int:
    """As `du` counts: each file once, however many names it has."""
    files = {(stat.st_dev, stat.st_ino): stat.st_blocks for folder in folders for stat in _stats(folder)}
    return sum(files.values()) * 512


def _stats(folder: Path) -> Iterator[os.stat_result]:
    for path in folder.rglob("*"):
        try:
            yield path.lstat()
        except FileNotFoundError:
            continue


@contextmanager
def peaks_of(*folders: Path) -> Iterator[dict[str, int]]:
    """The most bytes of disk below some folders, and of this process's memory, each beyond what was there before."""

    def measure() -> dict[str, int]:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return {"disk": disk_bytes(*folders), "memory": resident}

    before, peaks, is_over = measure(), {"disk": 0, "memory": 0}, threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            now = measure()
            for name in peaks:
                peaks[name] = max(peaks[name], now[name] - before[name])
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peaks
    finally:
        is_over.set()
        watcher.join(60)


@pytest.mark.parametrize("megabytes", [64, pytest.param(1024, marks=pytest.mark.slow)])
def test_on_one_file_system_the_weights_take_no_second_place(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, megabytes: int
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    folder, beside = write_model(tmp_path / "trained", megabytes), companions(tmp_path / "beside")
    artifacts = local_folder(tracker.client.create_logged_model(tracker.experiment_id)).parents[2]
    with tracker.run(RECIPE, f"once-{megabytes}") as run, peaks_of(tmp_path, artifacts) as peaks:
        model_id = log_model(run, "m", folder, beside, step=1, tags={})
    assert peaks["disk"] < MIB
    assert peaks["memory"] < 64 * MIB
    stored = local_folder(tracker.client.get_logged_model(model_id)) / "model"
    assert (stored / "model.safetensors").samefile(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    assert (stored / "model.safetensors").stat().st_size == megabytes * MIB, "the other name is untouched"


@pytest.mark.parametrize("megabytes", [64, pytest.param(1024, marks=pytest.mark.slow)])
def test_without_links_there_is_one_copy_and_never_two(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, megabytes: int
) -> None:
    """As between two file systems."""

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    folder, beside = write_model(tmp_path / "trained", megabytes), companions(tmp_path / "beside")
    artifacts = local_folder(tracker.client.create_logged_model(tracker.experiment_id)).parents[2]
    with tracker.run(RECIPE, f"copied-{megabytes}") as run, peaks_of(tmp_path, artifacts) as peaks:
        model_id = log_model(run, "m", folder, beside, step=1, tags={})
    assert megabytes * MIB <= peaks["disk"] < 1.1 * megabytes * MIB
    assert peaks["memory"] < 64 * MIB
    stored = local_folder(tracker.client.get_logged_model(model_id)) / "model"
    assert (stored / "model.safetensors").stat().st_ino != (folder / "model.safetensors").stat().st_ino


def test_what_takes_a_files_place_leaves_the_trainings_own_as_it_was(tracker: Tracker, tmp_path: Path) -> None:
    """PEFT writes a card of its own beside an adapter."""
    folder, beside = write_model(tmp_path / "trained", 1), companions(tmp_path / "beside")
    (folder / "README.md").write_text("PEFT's")
    with tracker.run(RECIPE, "card") as run:
        model_id = log_model(run, "m", folder, beside, step=1, tags={})
    stored = local_folder(tracker.client.get_logged_model(model_id)) / "model"
    assert (stored / "README.md").read_text() == "ours"
    assert (folder / "README.md").read_text() == "PEFT's"


def test_a_folder_that_cannot_be_linked_whole_leaves_nothing(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "trained", 1)
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "model.safetensors").write_text("in the way")
    assert not link_folder(folder, tmp_path / "target", frozenset())
    assert not (tmp_path / "target").exists()


def test_a_file_that_did_not_arrive_is_told(tracker: Tracker, tmp_path: Path) -> None:
    folder, beside = write_model(tmp_path / "trained", 1), companions(tmp_path / "beside")
    with tracker.run(RECIPE, "arrived") as run:
        model_id = log_model(run, "m", folder, beside, step=1, tags={})
    check_stored(tracker.client, model_id, {"model": folder, "": beside})
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(b"short")
    with pytest.raises(Exception, match=r"expected 5 bytes of model/model.safetensors .* found 1,048,576"):
        check_stored(tracker.client, model_id, {"model": folder})
    (folder / "more.safetensors").write_bytes(b"new")
    (folder / "model.safetensors").unlink()
    with pytest.raises(Exception, match=r"expected 3 bytes of model/more.safetensors .* found none"):
        check_stored(tracker.client, model_id, {"model": folder})
