"""Checks that optional packages and a GPU are there for a training that needs them, before any data is read."""

import importlib.util
from collections.abc import Callable

from sft_core.errors import RecipeError
from sft_core.training.config import TrainingConfig
from sft_core.training.optimizers import TRAITS, Package

_LIGER = Package("liger_kernel", "'sft[liger]'", needs_gpu=True)
_DEEPSPEED = Package("deepspeed", "'sft[deepspeed]'", needs_gpu=True)


def check_requirements(config: TrainingConfig, has_gpu: Callable[[], bool]) -> None:
    """Check that the packages and the GPU that the `training` section needs are available.

    Args:
        config: The `training` section.
        has_gpu: Returns whether training will have a GPU; called only if the answer matters.

    Raises:
        RecipeError: if one is missing; the message names the field and what to install.
    """
    for field, package in _packages(config):
        if importlib.util.find_spec(package.module) is None:
            raise RecipeError(
                f"training.{field} needs the package {package.module}, found none: pip install {package.install}"
            )
        if package.needs_gpu and not has_gpu():
            raise RecipeError(f"training.{field} needs a GPU, found none on this machine")
    for field in ("fp16", "tf32"):
        if getattr(config, field) and not has_gpu():
            raise RecipeError(f"training.{field}: true needs a GPU, found none on this machine")


def packages_of(config: TrainingConfig) -> list[str]:
    """Return the module names of the optional packages that the `training` section needs."""
    return [package.module for _, package in _packages(config)]


def _packages(config: TrainingConfig) -> list[tuple[str, Package]]:
    optimizer = TRAITS[config.optim].package
    return [
        *([(f"optim: {config.optim}", optimizer)] if optimizer else []),
        *([("use_liger_kernel", _LIGER)] if config.use_liger_kernel else []),
        *([("deepspeed", _DEEPSPEED)] if config.deepspeed is not None else []),
    ]
