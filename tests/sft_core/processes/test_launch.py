"""What a recipe says about launching becomes one command, and nothing that would change numbers gets into it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser

from sft_core.errors import RecipeError
from sft_core.processes.launch import Launch, read_launch
from sft_core.processes.runtime import RuntimeConfig

PROJECT = Path(__file__).parents[3]
SHIPPED = sorted((PROJECT / "recipes" / "accelerate").glob("*.yaml"))
PROGRAM = ["-m", "sft_core.training", "plan.json"]


def read(per_machine: int = 1, /, **launch: Any) -> Launch:
    return read_launch(RuntimeConfig(num_processes=per_machine, launch=launch))


def shipped(name: str, **launch: Any) -> Launch:
    return read(config_file=str(PROJECT / "recipes" / "accelerate" / f"{name}.yaml"), **launch)


def as_accelerate_takes_it(launch: Launch, machine_rank: int = 0) -> Any:
    """The arguments after accelerate has read the command and the file."""
    arguments = launch_command_parser().parse_args([*launch.accelerate_arguments(machine_rank), *PROGRAM])
    return _validate_launch_command(arguments)[0]


def test_by_default_one_process_and_no_file_of_the_users_home() -> None:
    taken = as_accelerate_takes_it(read())
    assert (taken.num_processes, taken.num_machines, taken.mixed_precision, taken.dynamo_backend) == (1, 1, "no", "no")
    assert (taken.multi_gpu, taken.use_fsdp, taken.use_deepspeed, taken.cpu) == (False, False, False, False)
    assert taken.config_file == str(PROJECT / "sft_core" / "processes" / "plain_launch.yaml")
    assert (taken.module, taken.training_script, taken.training_script_args) == (
        True,
        "sft_core.training",
        ["plan.json"],
    )


def test_several_processes_on_one_machine_are_ddp() -> None:
    taken = as_accelerate_takes_it(read(4))
    assert (taken.num_processes, taken.multi_gpu, taken.num_machines) == (4, True, 1)


def test_options_reach_accelerate() -> None:
    taken = as_accelerate_takes_it(
        read(2, use_fsdp=True, fsdp_version=2, fsdp_reshard_after_forward=False, gpu_ids="0,1", main_process_port=29511)
    )
    assert (taken.use_fsdp, taken.multi_gpu, taken.fsdp_version) == (True, False, "2")
    assert (taken.fsdp_reshard_after_forward, taken.gpu_ids, taken.main_process_port) == ("false", "0,1", 29511)


def test_names_may_have_dashes() -> None:
    assert read_launch(RuntimeConfig(launch={"num-processes": 3})).num_processes == 3


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_accelerate_reads_every_file_that_we_ship_and_ours_says_the_same(file: Path) -> None:
    config = load_config_from_file(str(file))
    launch = read(config_file=str(file))
    assert (launch.num_processes, launch.num_machines) == (config.num_processes, config.num_machines)
    taken = as_accelerate_takes_it(launch)
    assert (taken.num_processes, taken.num_machines) == (config.num_processes, config.num_machines)
    assert (taken.mixed_precision, taken.dynamo_backend) == ("no", "no")
    assert (taken.use_fsdp, taken.multi_gpu) == (
        config.distributed_type == "FSDP",
        config.distributed_type == "MULTI_GPU",
    )


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_every_file_opens_with_the_command_that_uses_it(file: Path) -> None:
    command = f"sft run recipes/gsm8k.yaml --set runtime.launch.config_file=recipes/accelerate/{file.name}"
    assert command in "".join(file.read_text().splitlines(keepends=True)[:4])


def test_the_file_for_fsdp2_asks_for_fsdp2() -> None:
    taken = as_accelerate_takes_it(shipped("fsdp2"))
    assert (str(taken.fsdp_version), taken.fsdp_reshard_after_forward, taken.fsdp_activation_checkpointing) == (
        "2",
        True,
        True,
    )


def test_options_lie_over_the_file() -> None:
    launch = shipped("one_node", num_processes=4)
    assert launch.num_processes == 4
    assert as_accelerate_takes_it(launch).num_processes == 4


def test_two_machines_have_one_world_and_a_rank_each() -> None:
    launch = shipped("two_nodes", main_process_ip="10.0.0.9")
    assert (launch.num_processes, launch.num_machines, launch.processes_here, launch.gpus_here) == (16, 2, 8, 8)
    assert read(2, cpu=True).gpus_here == 0
    ranks = [as_accelerate_takes_it(launch, rank) for rank in (0, 1)]
    assert [(taken.machine_rank, taken.main_process_ip) for taken in ranks] == [(0, "10.0.0.9"), (1, "10.0.0.9")]


def test_processes_of_each_machine_make_the_world() -> None:
    assert read(4, num_machines=2, main_process_ip="10.0.0.7").num_processes == 8


def test_processes_on_cpus_are_launched_by_torchrun() -> None:
    assert read(2).torchrun_arguments() == ["--standalone", "--nproc_per_node", "2"]
    two = read(2, num_machines=2, main_process_ip="10.0.0.7")
    assert two.torchrun_arguments(1) == [
        *("--nproc_per_node", "2", "--nnodes", "2", "--node_rank", "1"),
        *("--master_addr", "10.0.0.7", "--master_port", "29500"),
    ]


@pytest.mark.parametrize(
    ("launch", "complaint"),
    [
        ({"mixed_precision": "bf16"}, "runtime.launch.mixed_precision: `training.bf16` and `training.fp16` decide"),
        ({"dynamo_backend": "inductor"}, "`training.torch_compile` decides"),
        ({"use_deepspeed": True}, "DeepSpeed is set up by `training.deepspeed`"),
        ({"deepspeed_config_file": "a.json"}, "DeepSpeed is set up by `training.deepspeed`"),
        ({"gradient_clipping": 0.5}, "`training.max_grad_norm` decides; found 0.5"),
        ({"parallelism_config_tp_size": 2}, "never one block or one layer"),
        ({"megatron_lm_pp_degree": 2}, "never one block or one layer"),
        ({"tpu": True}, "only processes on GPUs and CPUs can be launched"),
        ({"module": True}, "the pipeline decides which program runs"),
        ({"machine_rank": 1}, "the machine that runs the flow has rank 0"),
        ({"cpu": True, "use_fsdp": True}, "use_fsdp and cpu exclude each other"),
        ({"num_processes": 0}, "expected a whole number from 1, found 0"),
        ({"num_processes": "all"}, "expected a whole number from 1, found 'all'"),
        ({"num_machines": 2}, "several machines need `main_process_ip`"),
        (
            {"num_machines": 2, "num_processes": 3, "main_process_ip": "a"},
            "3 processes cannot be divided evenly among 2 machines",
        ),
        ({"config_file": "nowhere.yaml"}, "expected accelerate's YAML at 'nowhere.yaml', found none"),
    ],
    ids=str,
)
def test_what_would_change_numbers_or_contradicts_is_refused_with_the_reason(
    launch: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(RecipeError, match=complaint):
        read(**launch)


def test_two_different_numbers_of_processes_are_refused() -> None:
    with pytest.raises(RecipeError, match="`num_processes` is 2 on each machine, but `launch` asks for 4 on 1"):
        read(2, num_processes=4)
    assert read(4, num_processes=4).num_processes == 4


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"distributed_type": "MULTI_GPU", "mixed_precision": "bf16"}, "mixed_precision: `training.bf16`"),
        ({"distributed_type": "DEEPSPEED"}, "distributed_type: DeepSpeed is set up by `training.deepspeed`"),
        ({"distributed_type": "TPU"}, "distributed_type: only processes on GPUs and CPUs can be launched"),
        ({"distributed_type": "NO", "dynamo_config": {"dynamo_backend": "INDUCTOR"}}, "`training.torch_compile`"),
        ({"num_processes": 2}, "with a `distributed_type`"),
    ],
    ids=str,
)
def test_a_file_is_read_as_strictly_as_options(tmp_path: Path, content: dict[str, Any], complaint: str) -> None:
    file = tmp_path / "accelerate.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(RecipeError, match=complaint):
        read(config_file=str(file))


@pytest.mark.parametrize(
    ("launch", "complaint"),
    [
        ({"num_proceses": 2}, "`accelerate launch` has no such option; did you mean 'num_processes'"),
        ({"fsdp_version": 3}, "expected one of 1, 2, found 3"),
        ({"same_network": "yes"}, "expected true or false, found 'yes'"),
    ],
    ids=str,
)
def test_options_are_checked_against_accelerates_own_parser(launch: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        read(**launch).accelerate_arguments()


def test_sharded_weights_need_gpus() -> None:
    with pytest.raises(RecipeError, match="FSDP needs GPUs"):
        shipped("fsdp2").torchrun_arguments()
