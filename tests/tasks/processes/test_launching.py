"""How a room is launched, what is missing for it, and what its number of processes means for the key."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_simple_launcher_cmd_env

from sft_core.data.chat import TemplateRef
from sft_core.errors import RecipeError
from sft_core.pretrained.model import ModelRef
from sft_core.pretrained.reader import Reader
from sft_core.pretrained.tokenizer import TokenizerRef
from sft_core.processes.launch import Launch
from sft_core.recipe import Recipe
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.training import TrainingConfig, TrainInputs
from tasks.processes import launching
from tasks.processes.launching import command, ready_to_train
from tasks.stages.run_context import RunContext
from tasks.train_model import train_model

PLAN = Path("/plans/plan.json")


def recipe(**sections: Any) -> Recipe:
    return Recipe.model_validate({"name": "r", "model": {"path": "m"}, "sources": [{"path": "a.jsonl"}], **sections})


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[bool], None]:
    """Makes this machine look as if it had GPUs, or none."""

    def pretend(has_gpu: bool) -> None:
        monkeypatch.setattr(launching, "NVIDIA_DRIVER", tmp_path if has_gpu else tmp_path / "none")
        monkeypatch.setattr(launching, "_has_gpu", lambda: has_gpu)

    return pretend


def test_on_gpus_accelerate_launches(gpu: Callable[[bool], None]) -> None:
    gpu(True)
    words = command("sft_core.training", PLAN, Launch(num_processes=2))
    assert words[:3] == [sys.executable, "-m", "accelerate.commands.launch"]
    assert words[-3:] == ["-m", "sft_core.training", str(PLAN)]
    assert "--multi_gpu" in words


def test_several_processes_on_cpus_are_launched_by_torchrun(gpu: Callable[[bool], None]) -> None:
    gpu(False)
    assert command("sft_core.training", PLAN, Launch(num_processes=2))[1:3] == ["-m", "torch.distributed.run"]


def test_one_plain_process_needs_no_launcher_and_gets_what_accelerate_would_set(
    gpu: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for has_gpu in (True, False):
        gpu(has_gpu)
        assert command("sft_core.training", PLAN, Launch()) == [sys.executable, "-m", "sft_core.training", str(PLAN)]
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    parsed = launch_command_parser().parse_args([*Launch().accelerate_arguments(), "--module", "sft_core.training"])
    _, theirs = prepare_simple_launcher_cmd_env(_validate_launch_command(parsed)[0])
    ours = launching._environment(Launch())
    only_with_dynamo = {name for name in theirs if name.startswith("ACCELERATE_DYNAMO_")} - set(launching.UNLAUNCHED)
    said = {name: value for name, value in theirs.items() if name.startswith("ACCELERATE_")}
    assert {name: ours[name] for name in said.keys() - only_with_dynamo} == {
        name: value for name, value in said.items() if name not in only_with_dynamo
    }


@pytest.mark.parametrize("special", [{"strategy": "cpu"}, {"config_file": PLAN}, {"options": {"gpu_ids": "1"}}])
def test_one_process_of_which_something_is_asked_is_launched(special: dict[str, Any]) -> None:
    assert command("sft_core.training", PLAN, Launch(**special))[1:3] == ["-m", "accelerate.commands.launch"]


def test_the_log_begins_with_what_other_machines_type(gpu: Callable[[bool], None]) -> None:
    gpu(True)
    processes = Launch(
        num_processes=4, num_machines=2, main_process_ip="10.0.0.7", options={"main_process_ip": "10.0.0.7"}
    )
    text = launching._invitation("sft_core.training", PLAN, processes)
    (line,) = text.splitlines()
    assert line.startswith(f"machine 1 joins with: {sys.executable} -m accelerate.commands.launch")
    assert "--machine_rank 1" in line
    assert line.endswith(f"-m sft_core.training {PLAN}")
    assert launching._invitation("sft_core.training", PLAN, Launch(num_processes=4)) == ""


@pytest.mark.parametrize(
    ("sections", "has_gpu", "complaint"),
    [
        ({"training": {"fp16": True}}, False, "training.fp16: true needs a GPU, found none"),
        ({"training": {"tf32": True}}, False, "training.tf32: true needs a GPU, found none"),
        ({"training": {"fp16": True}, "runtime": {"launch": {"cpu": True}}}, True, "training.fp16: true needs a GPU"),
        ({"runtime": {"launch": {"use_fsdp": True}, "num_processes": 2}}, False, "FSDP needs GPUs"),
        ({"runtime": {"launch": {"num_proceses": 2}}}, True, "did you mean 'num_processes'"),
        (
            {"training": {"use_liger_kernel": True}},
            True,
            "needs the package liger_kernel, found none: pip install 'sft.liger",
        ),
        ({"training": {"optim": "adamw_anyprecision"}}, True, "needs the package torchdistx, found none: pip install"),
    ],
    ids=str,
)
def test_what_this_machine_cannot_do_is_said_before_any_work(
    gpu: Callable[[bool], None], sections: dict[str, Any], has_gpu: bool, complaint: str
) -> None:
    gpu(has_gpu)
    with pytest.raises(RecipeError, match=complaint):
        ready_to_train(recipe(**sections))


def test_what_is_there_is_fine(gpu: Callable[[bool], None]) -> None:
    gpu(True)
    assert ready_to_train(recipe(training={"fp16": True}, runtime={"num_processes": 8})).num_processes == 8


MODEL = ModelRef(
    path=None,
    commit=None,
    init="config",
    config={"model_type": "llama"},
    dtype="float32",
    attn_implementation="auto",
    trust_remote_code=False,
    content_digest="c" * 32,
)


def test_another_number_of_processes_is_another_artifact_and_another_launch_is_not(tmp_path: Path) -> None:
    def key(num_processes: int, processes: Launch) -> str:
        dataset = ArtifactRef(stage="pack_shards", name="d", key="0" * 32, content="1" * 32)
        reader = Reader(TokenizerRef(folder=tmp_path, content_digest="t" * 32, commit=None))
        inputs = TrainInputs(TrainingConfig(), MODEL, reader, TemplateRef(), None, num_processes)
        context = RunContext(ArtifactStore(root=tmp_path), processes=processes)
        (plan,) = train_model.plans(train_model.bound(inputs, dataset, context))
        return plan.ref.key

    assert key(1, Launch()) != key(2, Launch(num_processes=2))
    assert key(2, Launch(num_processes=2)) == key(2, Launch(num_processes=2, strategy="use_fsdp"))
