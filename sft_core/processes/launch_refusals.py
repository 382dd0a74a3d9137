"""Options of `accelerate launch` that a recipe cannot set, and the reasons."""

from collections.abc import Mapping
from typing import Any

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


def reason_against(name: str, value: Any) -> str | None:
    """Return the reason why an option with this value is refused; None if it is allowed or changes nothing."""
    if not value or value in _HARMLESS.get(name, ()):
        return None
    if name == "distributed_type" and value == "DEEPSPEED":
        return _DEEPSPEED
    if name in _REASONS:
        return _REASONS[name]
    return next((reason for prefix, reason in _PREFIXES.items() if name.startswith(prefix)), None)
