"""Fields that distribute a training over processes. `runtime` sets the number of processes and where they run."""

import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from sft_core.section import Section

DATA_PARALLEL = ("dp_replicate_size", "dp_shard_size")


class DistributionFields(Section):
    """Fields for data parallelism (DDP), sharded weights (FSDP) and DeepSpeed."""

    ddp_find_unused_parameters: bool | None = None
    """Let DDP search each step for parameters without a gradient. None: false with gradient checkpointing, else
    true."""
    ddp_bucket_cap_mb: int | None = Field(default=None, ge=1)
    """Size in megabytes of the buckets in which DDP reduces gradients. None: PyTorch's default."""
    ddp_broadcast_buffers: bool | None = None
    """Let DDP broadcast buffers from the first process before each forward pass. None: false with gradient
    checkpointing, else true."""
    ddp_static_graph: bool | None = None
    """Promise DDP that every step uses the same parameters in the same order. None: false."""
    ddp_backend: Literal["nccl", "gloo", "mpi", "xccl", "hccl"] | None = None
    """Communication backend of `torch.distributed`. None: `nccl` on GPUs, `gloo` on CPUs."""
    ddp_timeout: int = Field(default=1800, ge=1)
    """Timeout in seconds for communication between processes."""
    fsdp: bool | str | None = None
    """Shard weights, gradients and optimizer states over the processes (FSDP). `runtime.launch` can enable it as well.
    A string such as `full_shard auto_wrap` is transformers' older spelling."""
    fsdp_config: dict[str, Any] | None = None
    """FSDP options, for example `{version: 2, reshard_after_forward: true, cpu_offload: false}`, or the path of a JSON
    file with them."""
    deepspeed: dict[str, Any] | None = None
    """DeepSpeed configuration, or the path of a JSON file with it. Values `auto` are filled in from the recipe. ZeRO
    stage 3 has to gather the weights when the model is saved (`stage3_gather_16bit_weights_on_model_save: true`).
    Requires the package `deepspeed`."""
    parallelism_config: dict[str, int] | None = None
    """Shape of the data parallelism: `dp_replicate_size` groups of `dp_shard_size` processes each. Every group shards
    the weights among its processes. None: one group of all processes."""

    @field_validator("fsdp_config", "deepspeed", mode="before")
    @classmethod
    def _is_read_from_its_file(cls, value: Any) -> Any:
        """Replace the path of a JSON file by its content, so that stage keys depend on the content, not on the path."""
        if not isinstance(value, str):
            return value
        path = Path(value).expanduser()
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"expected a JSON file at '{value}', found none ({path.absolute()})") from error
        except ValueError as error:
            raise ValueError(f"expected JSON in '{value}', found: {error}") from error

    @field_validator("parallelism_config")
    @classmethod
    def _spreads_data_alone(cls, sizes: dict[str, int] | None) -> dict[str, int] | None:
        for name, size in (sizes or {}).items():
            if name not in DATA_PARALLEL:
                raise ValueError(
                    f"expected {' or '.join(DATA_PARALLEL)}, found {name}. Processes get whole blocks, and a block or "
                    "a layer is never split: the documents of a block are computed together"
                )
            if size < 1:
                raise ValueError(f"{name} is a number of processes, found {size}")
        return sizes

    @model_validator(mode="after")
    def _distribution_fits_together(self) -> Self:
        if self.fsdp and self.deepspeed is not None:
            raise ValueError("`fsdp` and `deepspeed` exclude each other: both shard the weights")
        if self.fsdp_config is not None and not self.fsdp:
            raise ValueError("`fsdp_config` has no effect without `fsdp: true`")
        zero = (self.deepspeed or {}).get("zero_optimization", {})
        gathers = "stage3_gather_16bit_weights_on_model_save"
        if zero.get("stage") == 3 and zero.get(gathers) is not True:
            raise ValueError(
                f"`deepspeed`: with ZeRO stage 3 no model folder can be saved unless zero_optimization.{gathers} is "
                f"true, found {zero.get(gathers)}"
            )
        return self
