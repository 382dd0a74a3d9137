"""What enters a stage's key, and what the task does with it; no server is needed for `.fn`."""

from pathlib import Path

import pytest

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.fingerprint import Placement
from sft_core.records import StageOutcome
from sft_core.runtime import RuntimeConfig
from sft_core.tokens import TokensConfig
from sft_core.training import TrainingConfig
from tasks.caching import Stage, executed_or_cached, stage_folders
from tasks.pack_shards import pack_shards
from tasks.tokenize_chats import tokenize_chats
from tasks.train_model import train_model

STAGE = Stage("tokenize_chats", ("tokens",), "rendered", ())
SHARD = ArtifactRef(stage="render_chats", name="s-00001", key="a" * 32, group="b")


def key(stage: Stage = STAGE, **inputs: object) -> str:
    return stage.plan({"config": TokensConfig(), "rendered": SHARD, **inputs}).ref.key


def test_a_config_field_an_input_and_the_stage_change_the_key() -> None:
    keys = {
        key(),
        key(config=TokensConfig(max_length=512)),
        key(rendered=SHARD.model_copy(update={"key": "c" * 32})),
        key(Stage("other", ("tokens",), "rendered", ())),
        key(Stage("tokenize_chats", ("chat",), "rendered", ())),
        key(Stage("tokenize_chats", ("tokens",), "rendered", ("torch",))),
    }
    assert len(keys) == 6


def test_what_only_places_the_work_does_not_change_the_key(tmp_path: Path) -> None:
    class Run(Placement):
        """Stands for whatever is passed along."""

    placed = {"store": ArtifactStore(root=tmp_path), "runtime": RuntimeConfig(num_processes=4), "run": Run()}
    assert key(**placed) == key()


def test_shards_of_one_setting_share_a_folder_and_another_setting_has_its_own() -> None:
    first, second = (
        STAGE.plan({"config": TokensConfig(), "rendered": SHARD.model_copy(update={"key": k * 32})}).ref for k in "de"
    )
    other = STAGE.plan({"config": TokensConfig(max_length=9), "rendered": SHARD}).ref
    assert Path(first.folder).parent == Path(second.folder).parent != Path(other.folder).parent


def test_the_tasks_take_all_inputs_but_the_folder() -> None:
    assert list(tokenize_chats.fn.__signature__.parameters) == [
        "config",
        "limits",
        "tokenizer",
        "rendered",
        "store",
        "image_limits",
        "processor",
        "workers",
    ]
    assert "folder" not in train_model.fn.__signature__.parameters


@pytest.mark.parametrize("task", [tokenize_chats, pack_shards, train_model])
def test_tasks_are_called_as_their_files(task: object) -> None:
    assert task.name == task.fn.__name__ == task.fn.__module__.split(".")[-1]  # type: ignore[attr-defined]


def test_executed_means_that_this_run_made_some_of_it(tmp_path: Path) -> None:
    earlier, now = ArtifactStore(root=tmp_path, made_by="1"), ArtifactStore(root=tmp_path, made_by="2")
    config = TrainingConfig()
    old, new = (Stage(name, ("packing",), None, ()).plan({"config": config}) for name in ("old", "new"))
    earlier.build(old, lambda folder: StageOutcome())
    now.build(old, lambda folder: StageOutcome())
    now.build(new, lambda folder: StageOutcome())
    assert executed_or_cached(now, {"a": [old.ref], "b": [new.ref], "c": [old.ref, new.ref]}) == {
        "a": "cached",
        "b": "executed",
        "c": "executed",
    }
    assert stage_folders(now, {"a": [old.ref]})["a"] == now.path(old.ref)
