"""Optimizers of transformers 5: the packages they need, and the states they keep for each parameter.

adamw_torch       2 numbers per parameter, of the parameter's type         1B parameters in float32  →  8 GB
adamw_8bit        2 numbers of 8 bits, and 32 bits for embeddings                                    →  about 2.5 GB
adafactor         one row and one column per matrix                                                  →  almost nothing
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Optimizer = Literal[
    "adamw_torch",
    "adamw_torch_fused",
    "adamw_torch_xla",
    "adamw_torch_npu_fused",
    "adafactor",
    "adamw_anyprecision",
    "adamw_torch_4bit",
    "adamw_torch_8bit",
    "ademamix",
    "sgd",
    "adagrad",
    "adamw_bnb_8bit",
    "adamw_8bit",
    "ademamix_8bit",
    "lion_8bit",
    "lion_32bit",
    "paged_adamw_32bit",
    "paged_adamw_8bit",
    "paged_ademamix_32bit",
    "paged_ademamix_8bit",
    "paged_lion_32bit",
    "paged_lion_8bit",
    "rmsprop",
    "rmsprop_bnb",
    "rmsprop_bnb_8bit",
    "rmsprop_bnb_32bit",
    "galore_adamw",
    "galore_adamw_8bit",
    "galore_adafactor",
    "galore_adamw_layerwise",
    "galore_adamw_8bit_layerwise",
    "galore_adafactor_layerwise",
    "lomo",
    "adalomo",
    "grokadamw",
    "schedule_free_radam",
    "schedule_free_adamw",
    "schedule_free_sgd",
    "apollo_adamw",
    "apollo_adamw_layerwise",
    "stable_adamw",
]


@dataclass(frozen=True, slots=True)
class Package:
    """Package that provides an optimizer or kernels and is not part of PyTorch."""

    module: str
    install: str
    """Argument of `pip install`."""
    needs_gpu: bool = False


BITSANDBYTES = Package("bitsandbytes", "'sft[quantization]'")
TORCHAO = Package("torchao", "'sft[optimizers]'")
GALORE = Package("galore_torch", "'sft[optimizers]'")
GALORE_8BIT = Package("galore_torch", "'sft[optimizers,quantization]'", needs_gpu=True)
APOLLO = Package("apollo_torch", "'sft[optimizers]'")
SCHEDULE_FREE = Package("schedulefree", "'sft[optimizers]'")
LOMO = Package("lomo_optim", "'sft[optimizers]'", needs_gpu=True)


@dataclass(frozen=True, slots=True)
class Traits:
    """Properties of an optimizer that are known without importing it."""

    package: Package | None = None
    states: int = 2
    """Number of states kept per parameter, on its device."""
    bits: int | None = None
    """Bits of each state; None: those of the parameter. States below 32 bits are stored in groups of 256 with a 32-bit
    scale."""
    embeddings_in_float32: bool = False
    """True if transformers keeps 32-bit states for embeddings, which train badly with 8 bits."""
    is_low_rank: bool = False
    """True if the states of the modules in `optim_target_modules` are kept in a space of lower rank."""
    keeps_gradients: bool = True
    """True if the gradients of all layers exist at once; False if each layer is updated as soon as its gradient is
    computed."""


def _bitsandbytes(states: int, bits: int) -> Traits:
    return Traits(BITSANDBYTES, states, bits, embeddings_in_float32=bits == 8)


TRAITS: Mapping[Optimizer, Traits] = {
    "adamw_torch": Traits(),
    "adamw_torch_fused": Traits(),
    "adamw_torch_xla": Traits(Package("torch_xla", "torch_xla (on a TPU)")),
    "adamw_torch_npu_fused": Traits(Package("torch_npu", "torch_npu (on an Ascend NPU)")),
    "adafactor": Traits(states=0),
    "adamw_anyprecision": Traits(Package("torchdistx", "git+https://github.com/pytorch/torchdistx"), bits=32),
    "adamw_torch_4bit": Traits(TORCHAO, bits=4),
    "adamw_torch_8bit": Traits(TORCHAO, bits=8),
    "ademamix": _bitsandbytes(3, 32),
    "sgd": Traits(states=0),
    "adagrad": Traits(states=1),
    "adamw_bnb_8bit": _bitsandbytes(2, 8),
    "adamw_8bit": _bitsandbytes(2, 8),
    "ademamix_8bit": _bitsandbytes(3, 8),
    "lion_8bit": _bitsandbytes(1, 8),
    "lion_32bit": _bitsandbytes(1, 32),
    "paged_adamw_32bit": _bitsandbytes(2, 32),
    "paged_adamw_8bit": _bitsandbytes(2, 8),
    "paged_ademamix_32bit": _bitsandbytes(3, 32),
    "paged_ademamix_8bit": _bitsandbytes(3, 8),
    "paged_lion_32bit": _bitsandbytes(1, 32),
    "paged_lion_8bit": _bitsandbytes(1, 8),
    "rmsprop": Traits(states=1),
    "rmsprop_bnb": _bitsandbytes(1, 32),
    "rmsprop_bnb_8bit": _bitsandbytes(1, 8),
    "rmsprop_bnb_32bit": _bitsandbytes(1, 32),
    "galore_adamw": Traits(GALORE, is_low_rank=True),
    "galore_adamw_8bit": Traits(GALORE_8BIT, bits=8, is_low_rank=True),
    "galore_adafactor": Traits(GALORE, states=0, is_low_rank=True),
    "galore_adamw_layerwise": Traits(GALORE, is_low_rank=True, keeps_gradients=False),
    "galore_adamw_8bit_layerwise": Traits(GALORE_8BIT, bits=8, is_low_rank=True, keeps_gradients=False),
    "galore_adafactor_layerwise": Traits(GALORE, states=0, is_low_rank=True, keeps_gradients=False),
    "lomo": Traits(LOMO, states=0, keeps_gradients=False),
    "adalomo": Traits(LOMO, states=0, keeps_gradients=False),
    "grokadamw": Traits(Package("grokadamw", "'sft[optimizers]'"), states=0),  # its three states are in host memory
    "schedule_free_radam": Traits(SCHEDULE_FREE),
    "schedule_free_adamw": Traits(SCHEDULE_FREE),
    "schedule_free_sgd": Traits(SCHEDULE_FREE, states=1),
    "apollo_adamw": Traits(APOLLO, is_low_rank=True),
    "apollo_adamw_layerwise": Traits(APOLLO, is_low_rank=True, keeps_gradients=False),
    "stable_adamw": Traits(Package("optimi", "'sft[optimizers]'")),
}
assert set(TRAITS) == set(get_args(Optimizer)), "every optimizer has traits"


def options_of(text: str | None) -> dict[str, str]:
    """Parse `optim_args`, which has the form `name=value,name=value`.

    Raises:
        ValueError: if the text has another form.
    """
    pairs = [part.partition("=") for part in (text or "").replace(" ", "").split(",") if part]
    if any(not (name and equals and value) for name, equals, value in pairs):
        raise ValueError(f"expected name=value,name=value, for example momentum=0.9,nesterov=true; found '{text}'")
    return {name: value for name, _, value in pairs}


def check_optimizer(
    name: Optimizer, args: str | None, target_modules: str | tuple[str, ...] | None, accumulation_steps: int
) -> None:
    """Check that an optimizer gets the settings that it needs, and none that it would ignore.

    Raises:
        ValueError: if not; the message names the field.
    """
    traits = TRAITS[name]
    if traits.is_low_rank and not target_modules:
        raise ValueError(f"`optim: {name}` needs `optim_target_modules`, for example [attn, mlp] or all-linear")
    if target_modules and not traits.is_low_rank:
        raise ValueError(
            f"`optim_target_modules` belongs to the `galore` and `apollo` optimizers; `optim: {name}` updates all"
        )
    if not traits.keeps_gradients and accumulation_steps > 1:
        raise ValueError(
            f"`optim: {name}` updates each layer during the backward pass, so gradients cannot be accumulated: set "
            f"`gradient_accumulation_steps` to 1, found {accumulation_steps}"
        )
    if name == "galore_adafactor_layerwise":
        raise ValueError("`optim: galore_adafactor_layerwise`: transformers 5 cannot create it; use galore_adafactor")
    if args and name in ("adamw_torch", "adamw_torch_fused", "adafactor", "lomo", "adalomo"):
        raise ValueError(f"`optim: {name}` takes no `optim_args`; found '{args}'")
