"""Versions of the libraries that affect the results of code."""

import functools
import importlib.metadata
import platform
import sys
from collections.abc import Iterable

PLACEMENT = "It determines keys, and computes nothing that is stored."

CARRIERS = frozenset(
    {
        "httpx",
        "huggingface_hub",
        "mlflow",
        "prefect",
        "psutil",
        "pydantic",
        "requests",
        "rich",
        "tqdm",
        "typing_extensions",
    }
)
"""Libraries that only check, transfer, show or download values. They compute no value that is written, so a new version
changes no output. The exception is the metadata of model cards, which huggingface_hub formats: a new format is no
reason to register a model again."""
OPTIONAL = frozenset(
    {
        "apollo_torch",
        "bitsandbytes",
        "deepspeed",
        "flash_attn",
        "galore_torch",
        "grokadamw",
        "liger_kernel",
        "lm_eval",
        "lomo_optim",
        "optimi",
        "rouge_score",
        "sacrebleu",
        "schedulefree",
        "torchao",
    }
)
"""Libraries that are imported only if a recipe needs them. Their versions enter the keys of those recipes only."""
_DISTRIBUTIONS = {"PIL": "pillow", "yaml": "PyYAML", "optimi": "torch-optimi", "flash_attn": "flash-attn"}


def library_versions(modules: Iterable[str], asked_for: Iterable[str] = ()) -> dict[str, str | None]:
    """Look up the installed versions of libraries, and the version of Python.

    Args:
        modules: Top-level modules that code imports; those in `CARRIERS` and `OPTIONAL` are skipped.
        asked_for: Optional libraries that this recipe uses.

    Returns:
        Distribution → version, None if it is not installed; `python` → its minor version, because hashing, regular
        expressions and Unicode tables change with it.
    """
    wanted = {name for name in modules if name not in sys.stdlib_module_names} - CARRIERS - OPTIONAL
    names = sorted({_distribution(name) for name in (*wanted, *asked_for)})
    minor = ".".join(platform.python_version_tuple()[:2])
    return {"python": minor, **{name: _version(name) for name in names}}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def _distribution(module: str) -> str:
    """Return the distribution that installs a top-level module.

    Nearly all have the same name as their module. Only for others the file lists of all distributions are read.
    """
    name = _DISTRIBUTIONS.get(module, module).replace("_", "-")
    if _version(name) is not None or module in OPTIONAL:
        return name
    return next(iter(importlib.metadata.packages_distributions().get(module, [])), name)
