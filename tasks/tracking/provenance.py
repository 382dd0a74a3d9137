"""What a run is and where it came from, in plain strings: identity, code version, environment."""

import functools
import getpass
import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
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
    """The resolved recipe as text, to lay beside what was made from it; what it hangs on is covered by the artifacts
    themselves."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.yaml: str = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def run_key(recipe: Recipe, inputs: Any, code: str | None = None, dataset: str | None = None) -> str:
    """Identify a run: the same recipe over the same bytes with the same code is the same run, resumed or reused.

    Args:
        recipe: What is run.
        inputs: What it is run on.
        code: The digest of another run's code, to ask whether all else is the same; None: of this code.
        dataset: The key of the packed data, where the inputs do not tell it: which images there are, and what they
            hold, is known only when the rows have been read.
    """
    left_out = {"runtime", "sources", "model", *recipe.idle_sections}
    sections = {name: value for name, value in recipe if name not in left_out}
    shown = {} if dataset is None else {"dataset": dataset}
    return digest({"recipe": sections, "inputs": inputs, "code": code or pipeline_code(), **shown})


def identify(recipe: Recipe, digests: FileDigests, code: str | None = None, dataset: str | None = None) -> str:
    """The key of the run that a recipe would be now.

    Args:
        recipe: What would be run.
        digests: What is known of files.
        code: As in `run_key`.
        dataset: As in `run_key`; it counts where the model sees images.

    Raises:
        UserError: if something that it is made from is not there.
    """
    inputs = locate_run(recipe, digests)
    return run_key(recipe, inputs, code, dataset if inputs.data.processor else None)


def origin_tags() -> dict[str, str]:
    """Who, where, from which commit, and which Prefect run."""
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
    """The address of the flow run's page; None outside a flow, and where no Prefect server with pages is used."""
    if uses_shared_server():
        return None
    flow_run = current_flow_run()
    page = str(flow_run.ui_url) if flow_run else ""
    return page if page.startswith("http") else None


def environment() -> dict[str, Any]:
    """What the run was made with and where: versions, commit, GPUs of this machine, and the CUDA that torch is built
    for. Nothing here loads torch."""
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
    """Commit and whether the working tree differs from it; nothing outside a checkout."""
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
    """The recipe as parameters `section/field`; what only places the work is left out."""
    params: dict[str, str] = {"name": recipe.name}
    for section_name, section in recipe:
        if isinstance(section, Section) and section_name not in {"runtime", *recipe.idle_sections}:
            params |= {f"{section_name}/{field}": str(value) for field, value in _flat(section.model_dump(mode="json"))}
    for index, source in enumerate(recipe.sources):
        params |= {f"sources/{index}/{field}": str(value) for field, value in source.model_dump(mode="json").items()}
    return {name: value[:PARAM_CHARS] for name, value in params.items()}


def _flat(fields: dict[str, Any]) -> list[tuple[str, Any]]:
    """One level of nesting (`registry.gate`) becomes part of the name."""
    flat: list[tuple[str, Any]] = []
    for name, value in fields.items():
        flat += (
            [(f"{name}/{inner}", item) for inner, item in value.items()]
            if isinstance(value, dict) and value
            else [(name, value)]
        )
    return flat
