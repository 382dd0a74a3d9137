"""Inputs of tasks: definitions, code and data, found and digested before the first stage."""

import functools
import importlib.metadata
import inspect
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from sft_core.errors import RecipeError
from sft_core.evaluation.harness.config import LmEvalConfig
from sft_core.evaluation.harness.data import PLACES, TaskData, locate_data
from sft_core.evaluation.harness.definitions import PLACE, Definitions, lm_eval_version, read_definitions
from sft_core.store.file_digests import FileDigests
from sft_core.store.fingerprint import digest
from sft_core.store.user_function import digest_module

METRIC_LIBRARIES = ("datasets", "evaluate", "rouge_score", "sacrebleu", "scikit-learn")
"""Libraries that lm-eval uses for data and metrics."""

HOW_IT_IS_ASKED = (
    "num_fewshot", "apply_chat_template", "fewshot_as_multiturn", "system_instruction", "gen_kwargs"
)  # fmt: skip
"""Fields that change the prompt of a document. The others change only how many documents are used or stored."""


class TaskRef(BaseModel):
    """A leaf task, identified by its definition and its data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    definition: str
    """Digest of its configuration as resolved by lm-eval, and of the code of its functions."""
    data: TaskData

    def fingerprint(self) -> dict[str, Any]:
        """Return name, definition and data."""
        return {"name": self.name, "definition": self.definition, "data": self.data}


class LocatedTasks(BaseModel):
    """The tasks of a recipe, identified by content; empty for a recipe without tasks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    versions: dict[str, str] = {}
    """Versions of lm-eval and of the libraries that it uses for scoring."""
    tasks: tuple[TaskRef, ...] = ()
    groups: dict[str, str] = {}
    """Group → digest of its configuration."""

    def fingerprint(self) -> dict[str, Any]:
        """Return versions, tasks and groups."""
        return {"versions": self.versions, "tasks": self.tasks, "groups": self.groups}

    def sources(self, config: LmEvalConfig) -> dict[str, str]:
        """Return task → source of its documents in `SCORED_ITEMS`, for example `lm_eval/arc_easy@1f0c9a3b52de`.

        The digest in it differs if the definition or the prompts of the task differ, so that such documents are not
        compared with each other.
        """
        how = [getattr(config, name) for name in HOW_IT_IS_ASKED]
        return {ref.name: f"lm_eval/{ref.name}@{digest([ref, how, self.versions])[:12]}" for ref in self.tasks}


def locate_tasks(config: LmEvalConfig, digests: FileDigests) -> LocatedTasks:
    """Find and pin the tasks and their data.

    Raises:
        RecipeError: if lm-eval is not installed, a task does not exist, or a task or its data cannot be pinned.
    """
    if not config.tasks:
        return LocatedTasks()
    versions = {"lm_eval": lm_eval_version(), **_installed(METRIC_LIBRARIES)}
    found = read_definitions(config)
    refs = [
        TaskRef(name=name, definition=_digest(task, name), data=locate_data(name, task, digests))
        for name, task in found.tasks.items()
    ]
    return LocatedTasks(versions=versions, tasks=tuple(refs), groups=_groups(found))


def pinned_definitions(config: LmEvalConfig, located: LocatedTasks) -> Definitions:
    """Read the tasks again in the evaluation process, and make lm-eval load the pinned data.

    Raises:
        RecipeError: if a task or its data changed since it was located.
    """
    found = read_definitions(config)
    now = {name: _digest(task, name) for name, task in found.tasks.items()}
    if now != {ref.name: ref.definition for ref in located.tasks} or _groups(found) != located.groups:
        raise RecipeError(f"{PLACE}.tasks: a task's YAML or code changed since the run began; run again")
    with tempfile.TemporaryDirectory() as folder:
        digests = FileDigests.below(Path(folder))
        for ref in located.tasks:
            if ref.data.commit is None and locate_data(ref.name, found.tasks[ref.name], digests) != ref.data:
                raise RecipeError(f"{PLACE}.tasks: the data of '{ref.name}' changed since the run began; run again")
            found.pin(ref.name, ref.data.dataset_kwargs)
    return found


def _installed(libraries: tuple[str, ...]) -> dict[str, str]:
    versions = {}
    for library in libraries:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _groups(found: Definitions) -> dict[str, str]:
    return {name: _digest(group, name) for name, group in found.groups.items()}


def _digest(config: Mapping[str, Any], name: str) -> str:
    kwargs = {key: value for key, value in (config.get("dataset_kwargs") or {}).items() if key not in PLACES}
    content = {key: value for key, value in config.items() if key not in ("dataset_path", "dataset_kwargs")}
    return digest(_plain({**content, "dataset_kwargs": kwargs}, f"{PLACE}.tasks: '{name}'"))


def _plain(value: Any, what: str) -> Any:
    """Replace functions by the digest of their code, so that only text and numbers remain."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item, what) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, what) for item in value]
    return _code_of(value, what) if callable(value) else value if isinstance(value, int | float) else _text(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _code_of(function: Callable[..., Any], what: str) -> dict[str, str]:
    own = inspect.unwrap(function.func if isinstance(function, functools.partial) else function)
    try:
        file = Path(inspect.getfile(own))
    except TypeError as error:
        raise RecipeError(f"{what}: cannot find the file with the code of {function!r}; expected a function") from error
    return {"function": getattr(own, "__qualname__", ""), "code": digest_module(file.parent, file.stem, what)}
