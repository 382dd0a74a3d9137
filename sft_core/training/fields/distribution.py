"""How a training is spread over processes. How many there are, and where, is `runtime`'s."""

import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from sft_core.section import Section

DATA_PARALLEL = ("dp_replicate_size", "dp_shard_size")


class DistributionFields(Section):
    """Data parallelism (DDP), sharded weights (FSDP), and DeepSpeed."""

    ddp_find_unused_parameters: bool | None = None
    """Let DDP look for weights without a gradient in each step. None: not with gradient checkpointing, else yes."""
    ddp_bucket_cap_mb: int | None = Field(default=None, ge=1)
    """Megabytes of gradients that DDP sends at a time; None: as PyTorch."""
    ddp_broadcast_buffers: bool | None = None
    """Let DDP send buffers from the first process before each step. None: not with gradient checkpointing, else yes."""
    ddp_static_graph: bool | None = None
    """Promise DDP that every step uses the same weights in the same order. None: no."""
    ddp_backend: Literal["nccl", "gloo", "mpi", "xccl", "hccl"] | None = None
    """How processes talk to each other. None: `nccl` on GPUs, `gloo` on CPUs."""
    ddp_timeout: int = Field(default=1800, ge=1)
    """Seconds that a process waits for the others."""
    fsdp: bool | str | None = None
    """Shard weights, gradients and optimizer states over the processes (FSDP). `runtime.launch` can ask for it as well;
    text is the older spelling (`full_shard auto_wrap`)."""
    fsdp_config: dict[str, Any] | None = None
    """Options of FSDP, for example `{version: 2, reshard_after_forward: true, cpu_offload: false}`, or the JSON file
    that holds them."""
    deepspeed: dict[str, Any] | None = None
    """DeepSpeed's configuration, or the JSON file that holds it; a value `auto` is taken from the recipe. Stage 3
    has to gather the weights for the model's folder (`stage3_gather_16bit_weights_on_model_save: true`). Needs
    `deepspeed`."""
    parallelism_config: dict[str, int] | None = None
    """Shape of the data parallelism: `dp_replicate_size` groups of `dp_shard_size` processes; each group shards the
    weights among its processes. None: one group of all."""

    @field_validator("fsdp_config", "deepspeed", mode="before")
    @classmethod
    def _is_read_from_its_file(cls, value: Any) -> Any:
        """A file's content is part of what was asked for, wherever the file lies."""
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
                    f"known here: {', '.join(DATA_PARALLEL)}; found {name}. Blocks are spread over processes, and "
                    "never one block or one layer: the documents of a block are computed together"
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
                f"`deepspeed`: stage 3 ends without a model's folder unless zero_optimization.{gathers} is true, found "
                f"{zero.get(gathers)}"
            )
        return self
