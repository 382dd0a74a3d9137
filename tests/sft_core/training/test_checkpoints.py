"""A checkpoint is there whole or not at all, and what was reported after it is forgotten."""

import json
from pathlib import Path

import pytest

from sft_core.errors import RecipeError
from sft_core.training.checkpoints import newest_checkpoint, rewind, seal
from sft_core.training.disk import require_room


def write_checkpoint(output: Path, step: int, journals: dict[str, int] | None = None) -> Path:
    aside = output / "checkpoints" / "unfinished" / f"checkpoint-{step}"
    (aside / "shards").mkdir(parents=True)
    (aside / "model.safetensors").write_bytes(b"weights" * step)
    (aside / "shards" / "rng_state_0.pth").write_bytes(b"random")
    final = output / "checkpoints" / aside.name
    seal(aside, final, num_processes=1, is_last=False, seconds=1.5, journals=journals or {})
    return final


def newest_step(output: Path) -> int | None:
    checkpoint = newest_checkpoint(output)
    return checkpoint.manifest.step if checkpoint else None


def test_the_newest_is_the_one_with_the_most_steps(tmp_path: Path) -> None:
    assert newest_step(tmp_path) is None
    for step in (9, 100, 20):
        write_checkpoint(tmp_path, step)
    assert newest_step(tmp_path) == 100


def test_it_lists_every_file_with_its_size(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, 3)
    listed = json.loads((folder / "checkpoint.json").read_text())
    assert listed["files"] == {"model.safetensors": 21, "shards/rng_state_0.pth": 6}
    assert (listed["step"], listed["seconds"]) == (3, 1.5)


@pytest.mark.parametrize("damage", ["no list", "half a list", "short file", "missing file", "short journal", "aside"])
def test_half_a_checkpoint_is_none(tmp_path: Path, damage: str) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b"0123456789")
    write_checkpoint(tmp_path, 3, {"metrics.jsonl": 4})
    folder = write_checkpoint(tmp_path, 6, {"metrics.jsonl": 8})
    assert newest_step(tmp_path) == 6
    if damage == "no list":
        (folder / "checkpoint.json").unlink()
    elif damage == "half a list":
        (folder / "checkpoint.json").write_bytes((folder / "checkpoint.json").read_bytes()[:-20])
    elif damage == "short file":
        (folder / "model.safetensors").write_bytes(b"weights")
    elif damage == "missing file":
        (folder / "shards" / "rng_state_0.pth").unlink()
    elif damage == "short journal":
        (tmp_path / "metrics.jsonl").write_bytes(b"01234")
    elif damage == "aside":
        (tmp_path / "checkpoints" / "unfinished").mkdir()
        folder.rename(tmp_path / "checkpoints" / "unfinished" / folder.name)
    assert newest_step(tmp_path) == 3


def test_one_that_is_damaged_is_written_over(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, 6)
    (folder / "checkpoint.json").unlink()
    (folder / "left-over").write_bytes(b"x")
    write_checkpoint(tmp_path, 6)
    assert newest_step(tmp_path) == 6
    assert not (folder / "left-over").exists()


def test_rewinding_forgets_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b"one\ntwo\nthr")
    (tmp_path / "samples.jsonl").write_bytes(b"later\n")
    (tmp_path / "plan.json").write_bytes(b"{}")
    (tmp_path / "checkpoints" / "unfinished" / "checkpoint-9").mkdir(parents=True)
    write_checkpoint(tmp_path, 3, {"metrics.jsonl": 4})
    for _ in range(2):
        checkpoint = rewind(tmp_path)
        assert checkpoint is not None
        assert checkpoint.manifest.step == 3
        assert (tmp_path / "metrics.jsonl").read_bytes() == b"one\n"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "metrics.jsonl", "plan.json"]
        assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-3"]


def test_without_a_checkpoint_everything_reported_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b"one\n")
    assert rewind(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_too_small_is_told_with_both_numbers(tmp_path: Path) -> None:
    require_room(tmp_path, 1, "a byte")
    with pytest.raises(RecipeError, match=r"has [\d,.]+ GB left, the model needs 4,000,000.00 GB; free"):
        require_room(tmp_path, 4e15, "the model")
