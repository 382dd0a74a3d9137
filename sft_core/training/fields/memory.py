"""Fields that set the precision of training and reduce its memory and time."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sft_core.section import Section

CHECKPOINTING_OPTIONS = (
    "use_reentrant",
    "preserve_rng_state",
    "determinism_check",
    "early_stop",
    "debug",
    "every_n_layers",
    "offload",
)
"""Options of `torch.utils.checkpoint`; the last two are options of transformers."""


class MemoryFields(Section):
    """Fields for precision, activations, compilation and kernels."""

    bf16: bool | None = None
    """Compute in bfloat16 (autocast) over weights in `model.dtype`. None: true if the GPU supports it and `fp16` is
    off (TRL: true unless `fp16`)."""
    fp16: bool = False
    """Compute in float16 with loss scaling, for GPUs without bfloat16."""
    tf32: bool | None = None
    """Use TensorFloat-32 for float32 matrix products, on Ampere GPUs and newer. None: PyTorch's setting."""
    gradient_checkpointing: bool = True
    """Recompute activations in the backward pass instead of storing them: less memory, about a fifth slower. (TRL's
    name and default; transformers also calls it `activation_checkpointing`.)"""
    gradient_checkpointing_kwargs: dict[str, Any] | None = None
    """Options of gradient checkpointing: `every_n_layers` (checkpoint only every n-th layer), `offload` (keep the saved
    tensors in host memory), and those of `torch.utils.checkpoint`, such as `use_reentrant`."""
    activation_offloading: bool = False
    """Keep the activations that the backward pass needs in host memory: less GPU memory, slower."""
    torch_compile: bool = False
    """Compile the model with `torch.compile`."""
    torch_compile_backend: str | None = None
    """Backend of `torch.compile`, for example `inductor` (the default) or `aot_eager`. Setting it turns on
    `torch_compile`."""
    torch_compile_mode: Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"] | None = (
        None
    )
    """Mode of `torch.compile`: the longer it spends compiling, the faster the result. Setting it turns on
    `torch_compile`."""
    use_liger_kernel: bool = False
    """Use the Liger kernels for norms, rotary embeddings and feed-forward layers. Requires the package `liger-kernel`
    and a GPU."""
    liger_kernel_config: dict[str, bool] | None = None
    """Liger kernels to use, for example `{rope: true, swiglu: true, rms_norm: true}`. Liger's losses stay off."""
    use_cache: bool = False
    """Must be false: with a key-value cache, documents that share a block would attend to each other."""
    torch_empty_cache_steps: int | None = Field(default=None, ge=1)
    """Interval in steps at which cached GPU memory is released. Slower; helps against fragmentation. None: never."""
    debug: Literal["", "underflow_overflow"] = ""
    """Debug mode of transformers. `underflow_overflow`: stop at the first activation that is not finite, and print the
    layers before it."""

    @model_validator(mode="after")
    def _memory_fits_together(self) -> Self:
        if self.fp16 and self.bf16:
            raise ValueError("`fp16` and `bf16` exclude each other")
        unknown = set(self.gradient_checkpointing_kwargs or {}) - set(CHECKPOINTING_OPTIONS)
        if unknown:
            raise ValueError(
                f"`gradient_checkpointing_kwargs` are {', '.join(CHECKPOINTING_OPTIONS)}; found "
                f"{', '.join(sorted(unknown))}"
            )
        for loss in ("cross_entropy", "fused_linear_cross_entropy"):
            if (self.liger_kernel_config or {}).get(loss):
                raise ValueError(f"`liger_kernel_config`: {loss} has to be off, the trainer computes its own loss")
        if self.liger_kernel_config is not None and not self.use_liger_kernel:
            raise ValueError("`liger_kernel_config` has no effect without `use_liger_kernel: true`")
        return self
