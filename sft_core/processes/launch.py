"""Launch of the training processes: `runtime` of the recipe becomes one command of `accelerate launch`.

    runtime: {num_processes: 4}                                       4 processes on this machine, DDP
    runtime: {launch: {config_file: recipes/accelerate/fsdp2.yaml}}   as in that file
    runtime: {launch: {config_file: …, main_process_ip: 10.0.0.7}}    options override the file

The number of training processes affects the result, because it decides which blocks share a step; how they are launched
does not. So every launch option that would change numbers is refused: it belongs to `training`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sft_core.errors import RecipeError, did_you_mean
from sft_core.processes.runtime import RuntimeConfig
from sft_core.store.fingerprint import Placement

PLAIN_CONFIG = Path(__file__).with_name("plain_launch.yaml")
"""Config file for a recipe that names none; without it, accelerate would read one from the user's cache folder."""
DEFAULT_PORT = 29500

_STRATEGIES = ("multi_gpu", "use_fsdp", "cpu")
_STRATEGY_OF_TYPE = {"NO": None, "MULTI_CPU": None, "MULTI_GPU": "multi_gpu", "FSDP": "use_fsdp"}


@dataclass(frozen=True, slots=True)
class Launch(Placement):
    """The processes of one training, and how to launch them."""

    num_processes: int = 1
    """Number of processes over all machines: the world size."""
    num_machines: int = 1
    strategy: str | None = None
    """`multi_gpu`, `use_fsdp` or `cpu`; None: one process, or DDP over several."""
    config_file: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of `accelerate launch` by their long names; they override the config file."""
    main_process_ip: str | None = None
    main_process_port: int = DEFAULT_PORT

    @property
    def is_plain(self) -> bool:
        """True for a single process with no launch options, which runs without `accelerate launch`."""
        return self.num_processes == 1 and self.strategy is None and self.config_file is None and not self.options

    @property
    def processes_here(self) -> int:
        """Number of processes on each machine."""
        return self.num_processes // self.num_machines

    @property
    def gpus_here(self) -> int:
        """Number of GPUs used on each machine: one per process, or 0 if the processes run on CPUs."""
        return 0 if self.strategy == "cpu" else self.processes_here

    def alone(self) -> "Launch":
        """Return a launch of one process on the same kind of device, for work with a trained model."""
        return Launch(strategy="cpu" if self.strategy == "cpu" else None)

    def accelerate_arguments(self, machine_rank: int = 0) -> list[str]:
        """Return the arguments of `accelerate launch` that come before the program.

        Raises:
            RecipeError: for an option that accelerate does not have.
        """
        flags = _check_names(self.options)
        arguments = {
            **self.options,
            "config_file": self.config_file or PLAIN_CONFIG,
            "num_processes": self.num_processes,
            "num_machines": self.num_machines,
            "mixed_precision": "no",
            "dynamo_backend": "no",
        }
        if self.num_machines > 1:
            arguments["machine_rank"] = machine_rank
        if self.strategy is None and self.num_processes > 1:
            arguments["multi_gpu"] = True
        return [part for name, value in arguments.items() for part in _argument(name, value, name in flags)]

    def torchrun_arguments(self, machine_rank: int = 0) -> list[str]:
        """Return the arguments of `torch.distributed.run` that come before the program, for processes on CPUs.

        Raises:
            RecipeError: for FSDP, because accelerate shards weights on GPUs only.
        """
        if self.strategy == "use_fsdp":
            raise RecipeError("runtime.launch: FSDP needs GPUs, found none on this machine")
        processes = ["--nproc_per_node", str(self.processes_here)]
        if self.num_machines == 1:
            return ["--standalone", *processes]
        machines = ["--nnodes", str(self.num_machines), "--node_rank", str(machine_rank)]
        meeting = ["--master_addr", str(self.main_process_ip), "--master_port", str(self.main_process_port)]
        return [*processes, *machines, *meeting]


def read_launch(runtime: RuntimeConfig) -> Launch:
    """Read the launch settings of the recipe, and count the processes.

    Raises:
        RecipeError: if the config file does not exist, if an option would change the result, or if two numbers
            contradict each other.
    """
    options = {name.replace("-", "_"): value for name, value in runtime.launch.items()}
    path = options.pop("config_file", None)
    from_file = {} if path is None else _read_config_file(str(path))
    _refuse(from_file, f"runtime.launch.config_file: {path}: ")
    _refuse(options, "runtime.launch.")
    settings = {**from_file, **options}
    num_machines = _whole(settings, "num_machines", 1)
    num_processes = _whole(settings, "num_processes", runtime.num_processes * num_machines)
    if runtime.num_processes not in (1, num_processes // num_machines):
        raise RecipeError(
            f"runtime: `num_processes` is {runtime.num_processes} on each machine, but `launch` asks for "
            f"{num_processes} on {num_machines} altogether: remove `runtime.num_processes`"
        )
    if num_processes % num_machines:
        raise RecipeError(
            f"runtime.launch: {num_processes} processes cannot be divided evenly among {num_machines} machines"
        )
    if num_machines > 1 and not settings.get("main_process_ip"):
        raise RecipeError("runtime.launch: several machines need `main_process_ip`, the address of this one")
    return Launch(
        num_processes=num_processes,
        num_machines=num_machines,
        strategy=_strategy(from_file, options),
        config_file=None if path is None else Path(str(path)).expanduser().resolve(),
        options=options,
        main_process_ip=settings.get("main_process_ip"),
        main_process_port=_whole(settings, "main_process_port", DEFAULT_PORT),
    )


def _read_config_file(path: str) -> dict[str, Any]:
    """Read a file that `accelerate config` wrote, without the settings that are empty or off."""
    file = Path(path).expanduser()
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(
            f"runtime.launch.config_file: expected accelerate's YAML at '{path}', found none ({file.absolute()})"
        ) from error
    except yaml.YAMLError as error:
        raise RecipeError(f"runtime.launch.config_file: {path}: expected YAML, found: {error}") from error
    if not isinstance(content, dict) or "distributed_type" not in content:
        raise RecipeError(
            f"runtime.launch.config_file: {path}: expected what `accelerate config` writes, with a `distributed_type`"
        )
    return {name: value for name, value in content.items() if value}


def _refuse(options: Mapping[str, Any], where: str) -> None:
    for name, value in options.items():
        reason = _reason_against(name, value)
        if reason is not None:
            raise RecipeError(f"{where}{name}: {reason}; found {value!r}")


def _strategy(from_file: Mapping[str, Any], options: Mapping[str, Any]) -> str | None:
    asked = [name for name in _STRATEGIES if options.get(name)]
    if len(asked) > 1:
        raise RecipeError(f"runtime.launch: {' and '.join(asked)} exclude each other")
    if asked:
        return asked[0]
    return "cpu" if from_file.get("use_cpu") else _STRATEGY_OF_TYPE[str(from_file.get("distributed_type") or "NO")]


def _whole(settings: Mapping[str, Any], name: str, default: int) -> int:
    value = settings.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RecipeError(f"runtime.launch.{name}: expected a whole number from 1, found {value!r}")
    return value


def _argument(name: str, value: Any, is_flag: bool) -> list[str]:
    if is_flag:
        return [f"--{name}"] if value else []
    return [f"--{name}", str(value).lower() if isinstance(value, bool) else str(value)]


def _check_names(options: Mapping[str, Any]) -> frozenset[str]:
    """Check names and choices; return the names of all flags, which take no value.

    Without options accelerate's parser is not loaded: it imports torch, which a run that reuses everything does not
    need.
    """
    if not options:
        return frozenset({"multi_gpu"})
    from accelerate.commands.launch import launch_command_parser

    actions = {action.dest: action for action in launch_command_parser()._actions if action.option_strings}
    for name, value in options.items():
        action = actions.get(name)
        if action is None:
            hint = did_you_mean(name, actions, "")
            raise RecipeError(f"runtime.launch.{name}: `accelerate launch` has no such option{hint}")
        if action.choices and str(value) not in action.choices:
            raise RecipeError(f"runtime.launch.{name}: expected one of {', '.join(action.choices)}, found {value!r}")
        if action.nargs == 0 and not isinstance(value, bool):
            raise RecipeError(f"runtime.launch.{name}: expected true or false, found {value!r}")
    return frozenset(name for name, action in actions.items() if action.nargs == 0)


_PRECISION = '`training.bf16` and `training.fp16` decide the precision; remove this option, or set it to "no"'
_COMPILING = "`training.torch_compile` decides whether the model is compiled"
_SPLITTING = "blocks are spread over processes, never one block or one layer; see `training.parallelism_config`"
_DEEPSPEED = (
    "DeepSpeed is set up by `training.deepspeed`, because its settings can change the result; its processes are "
    "launched like any others"
)
_COMMAND = "the pipeline decides which program runs"
_HARDWARE = "only processes on GPUs and CPUs can be launched"

_REASONS: Mapping[str, str] = {
    "mixed_precision": _PRECISION,
    "downcast_bf16": _PRECISION,
    "fp8_config": _PRECISION,
    "dynamo_backend": _COMPILING,
    "dynamo_config": _COMPILING,
    "gradient_accumulation_steps": "`training.gradient_accumulation_steps` decides",
    "gradient_clipping": "`training.max_grad_norm` decides",
    "use_deepspeed": _DEEPSPEED,
    "zero_stage": _DEEPSPEED,
    "use_parallelism_config": _SPLITTING,
    "parallelism_config": _SPLITTING,
    "use_megatron_lm": _SPLITTING,
    "module": _COMMAND,
    "no_python": _COMMAND,
    "main_training_function": _COMMAND,
    "help": _COMMAND,
    "machine_rank": "the machine that runs the flow has rank 0; each other one gets its rank when it joins",
    "tpu": _HARDWARE,
    "distributed_type": _HARDWARE,
    "compute_environment": _HARDWARE,
}
_PREFIXES: Mapping[str, str] = {
    "dynamo_": _COMPILING,
    "fp8_": _PRECISION,
    "deepspeed_": _DEEPSPEED,
    "zero3_": _DEEPSPEED,
    "offload_": _DEEPSPEED,
    "megatron_lm_": _SPLITTING,
    "parallelism_config_": _SPLITTING,
    "mpirun_": _HARDWARE,
    "tpu_": _HARDWARE,
    "aws_": _HARDWARE,
}
_HARMLESS: Mapping[str, tuple[str, ...]] = {
    "mixed_precision": ("no",),
    "downcast_bf16": ("no",),
    "dynamo_backend": ("no", "NO"),
    "main_training_function": ("main",),
    "distributed_type": ("NO", "MULTI_CPU", "MULTI_GPU", "FSDP"),
    "compute_environment": ("LOCAL_MACHINE",),
}
"""Values of refused options that are accepted, because they change nothing here."""


def _reason_against(name: str, value: Any) -> str | None:
    """Return the reason why an option with this value is refused; None if it is allowed or changes nothing."""
    if not value or value in _HARMLESS.get(name, ()):
        return None
    if name == "distributed_type" and value == "DEEPSPEED":
        return _DEEPSPEED
    if name in _REASONS:
        return _REASONS[name]
    return next((reason for prefix, reason in _PREFIXES.items() if name.startswith(prefix)), None)
