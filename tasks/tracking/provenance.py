"""Identity and origin of a run as plain strings: run key, code version, environment."""

import functools
import getpass
import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from sft_core.recipe import Recipe
from sft_core.recipe.inputs import locate_run
from sft_core.section import Section
from sft_core.store.file_digests import FileDigests
from sft_core.store.fingerprint import Placement, digest
from tasks.context import current_flow_run
from tasks.processes.owners import owner_tags
from tasks.processes.servers import uses_shared_server
from tasks.stages.codebase import PROJECT, pipeline_code

LIBRARIES = ("torch", "transformers", "accelerate", "peft", "tokenizers", "datasets", "pyarrow", "prefect", "mlflow")
PARAM_CHARS = 6000
NVIDIA = Path("/proc/driver/nvidia")


class RecipeText(Placement):
    """Text of the resolved recipe, which is stored with what was made from it.

    It is in no key, because the other inputs of a stage cover everything that its result depends on.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.yaml: str = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def run_key(recipe: Recipe, inputs: Any, code: str | None = None, dataset: str | None = None) -> str:
    """Identify a run: the same recipe over the same bytes with the same code is the same run, resumed or reused.

    Args:
        recipe: The recipe of the run.
        inputs: The located inputs of the run.
        code: Digest of another run's code, to compare everything else with that run; None uses the present code.
        dataset: Key of the packed data, if the inputs do not determine it: the images and their content are known only
            after the rows have been read.
    """
    left_out = {"runtime", "sources", "model", *recipe.idle_sections}
    sections = {name: value for name, value in recipe if name not in left_out}
    shown = {} if dataset is None else {"dataset": dataset}
    return digest({"recipe": sections, "inputs": inputs, "code": code or pipeline_code(), **shown})


def identify(recipe: Recipe, digests: FileDigests, code: str | None = None, dataset: str | None = None) -> str:
    """Return the run key that a recipe would have now.

    Args:
        recipe: The recipe.
        digests: The cache of file digests.
        code: Digest of the code, as in `run_key`.
        dataset: Key of the packed data, as in `run_key`; it is used only for models with images.

    Raises:
        UserError: if an input of the recipe does not exist.
    """
    inputs = locate_run(recipe, digests)
    return run_key(recipe, inputs, code, dataset if inputs.data.processor else None)


def origin_tags() -> dict[str, str]:
    """Return the tags with the user, the owner process, the commit, and the Prefect flow run."""
    tags = {
        "mlflow.user": getpass.getuser(),
        "mlflow.source.name": "flows.sft",
        "mlflow.source.type": "LOCAL",
        **owner_tags(),
        **_git_tags(),
    }
    if (flow_run := current_flow_run()) is not None:
        tags |= {"prefect.flow_run_id": str(flow_run.id), "prefect.flow_run_name": str(flow_run.name)}
    if (page := prefect_page()) is not None:
        tags["prefect.flow_run_url"] = page
    return tags


def prefect_page() -> str | None:
    """Return the address of the flow run's page; None outside of a flow run, or if the server has no pages."""
    if uses_shared_server():
        return None
    flow_run = current_flow_run()
    page = str(flow_run.ui_url) if flow_run else ""
    return page if page.startswith("http") else None


def environment() -> dict[str, Any]:
    """Return versions, commit, CPUs and GPUs of this machine, and torch's CUDA version, without importing torch."""
    libraries = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "gpus": _gpus(),
        "nvidia_driver": _found(r"Module.*?  (\d[\d.]+)", NVIDIA / "version"),
        "cuda": _found(r"^cuda\b.*'([\d.]+)'", _torch_version_file()),
        **_git_tags(),
        **libraries,
    }


def _gpus() -> list[str]:
    return [_found(r"Model:\s*(.+)", file) or "unknown" for file in sorted(NVIDIA.glob("gpus/*/information"))]


def _torch_version_file() -> Path:
    torch = importlib.util.find_spec("torch")
    return Path(str(torch.origin if torch else "")).parent / "version.py"


def _found(pattern: str, path: Path) -> str | None:
    try:
        match = re.search(pattern, path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    except OSError:
        return None
    return match[1].strip() if match else None


@functools.cache
def _git_tags() -> dict[str, str]:
    """Return tags with the commit, and whether the working tree differs from it; empty outside of a checkout."""
    commit = _git("rev-parse", "HEAD")
    return (
        {"mlflow.source.git.commit": commit, "sft.git_dirty": str(bool(_git("status", "--porcelain"))).lower()}
        if commit
        else {}
    )


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(PROJECT), *arguments], capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def recipe_params(recipe: Recipe) -> dict[str, str]:
    """Return the recipe as parameters `section/field`, without the sections that do not affect the results."""
    params: dict[str, str] = {"name": recipe.name}
    for section_name, section in recipe:
        if isinstance(section, Section) and section_name not in {"runtime", *recipe.idle_sections}:
            params |= {f"{section_name}/{field}": str(value) for field, value in _flat(section.model_dump(mode="json"))}
    for index, source in enumerate(recipe.sources):
        params |= {f"sources/{index}/{field}": str(value) for field, value in source.model_dump(mode="json").items()}
    return {name: value[:PARAM_CHARS] for name, value in params.items()}


def _flat(fields: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Flatten one level of nesting (`registry.gate`), which becomes part of the name."""
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            yield from ((f"{name}/{inner}", item) for inner, item in value.items())
        else:
            yield name, value
