"""In which precision training computes, and what it does to need less memory and time."""

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
"""Of `torch.utils.checkpoint`, and the last two of transformers."""


class MemoryFields(Section):
    """Precision, activations, compilation and kernels."""

    bf16: bool | None = None
    """bfloat16 arithmetic over weights in `model.dtype`. None: where the hardware has it (TRL: always, unless fp16)."""
    fp16: bool = False
    """float16 arithmetic with loss scaling, for GPUs without bfloat16."""
    tf32: bool | None = None
    """TensorFloat-32 for products of float32 matrices, on Ampere GPUs and newer. None: as PyTorch is set."""
    gradient_checkpointing: bool = True
    """Compute activations again in the backward pass: less memory, about a fifth slower. (TRL's name and default;
    transformers also calls it `activation_checkpointing`.)"""
    gradient_checkpointing_kwargs: dict[str, Any] | None = None
    """Its options: `every_n_layers` (only each n-th layer), `offload` (keep what is saved in host memory), and those of
    `torch.utils.checkpoint`, such as `use_reentrant`."""
    activation_offloading: bool = False
    """Keep what the backward pass needs in the host's memory instead of the GPU's: less memory, slower."""
    torch_compile: bool = False
    """Compile the model with `torch.compile`."""
    torch_compile_backend: str | None = None
    """Of `torch.compile`, for example `inductor` (the default) or `aot_eager`. If given, `torch_compile` is on."""
    torch_compile_mode: Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"] | None = (
        None
    )
    """Of `torch.compile`: how much time it spends to save how much. If given, `torch_compile` is on."""
    use_liger_kernel: bool = False
    """Use the Liger kernels for norms, rotary embeddings and feed-forward parts. Needs `liger-kernel` and a GPU."""
    liger_kernel_config: dict[str, bool] | None = None
    """Which of them, for example `{rope: true, swiglu: true, rms_norm: true}`. Its losses stay off."""
    use_cache: bool = False
    """Only false: with a cache of keys, documents of one block would attend to each other."""
    torch_empty_cache_steps: int | None = Field(default=None, ge=1)
    """Give cached GPU memory back every so many steps. Slower; helps where memory is in pieces. None: never."""
    debug: Literal["", "underflow_overflow"] = ""
    """`underflow_overflow`: stop at the first activation that is not finite, and print the layers before it."""

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
                raise ValueError(f"`liger_kernel_config`: {loss} has to be off, the loss is not the model's own")
        if self.liger_kernel_config is not None and not self.use_liger_kernel:
            raise ValueError("`liger_kernel_config` has no effect without `use_liger_kernel: true`")
        return self
