"""Resolution of the task names of a recipe to leaf tasks with their configurations, as in lm-eval.

    mmlu (group) → mmlu_stem (group) → mmlu_anatomy_tasks (tag) → mmlu_anatomy: {dataset_path: cais/mmlu, …}

lm-eval's own index and its own YAML loader are used (`include`, `!function`). Settings of a group override those of its
members as in lm-eval. Reading a task imports the code that its YAML names, so that a missing package is found before
anything else runs.
"""

import dataclasses
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sft_core.errors import RecipeError, did_you_mean
from sft_core.evaluation.harness.config import LmEvalConfig

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

PLACE = "evaluation.lm_eval"
LISTS = f"; `lm-eval ls tasks` lists its tasks, and {PLACE}.include_path adds yours"
NOT_OF_THE_TASK = ("tag", "group", "task_list")
"""Fields of a task's file that only assign it to tags and groups."""


@dataclass(slots=True)
class Definitions:
    """Tasks and groups that the names of a recipe refer to."""

    manager: "TaskManager"
    """lm-eval's index of tasks."""
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Leaf task → its complete configuration, with functions as Python objects."""
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Group → its configuration."""

    def pin(self, name: str, dataset_kwargs: Mapping[str, Any]) -> None:
        """Make lm-eval load a task with these arguments of `load_dataset`."""
        entry = self.manager.task_index[name]
        pinned = {**self.tasks[name], "dataset_kwargs": dict(dataset_kwargs)}
        self.manager.task_index[name] = dataclasses.replace(entry, yaml_path=None, cfg=pinned)


def lm_eval_version() -> str:
    """Return the installed version of lm-eval.

    Raises:
        RecipeError: if it is not installed.
    """
    try:
        return importlib.metadata.version("lm_eval")
    except importlib.metadata.PackageNotFoundError as error:
        raise RecipeError(f"{PLACE}.tasks needs lm-eval, which is not installed: pip install 'sft[lm-eval]'") from error


def read_definitions(config: LmEvalConfig) -> Definitions:
    """Find the tasks, and read their definitions.

    Raises:
        RecipeError: for an unknown name, a file or code that cannot be read, and a task that cannot be pinned.
    """
    folder = None if config.include_path is None else Path(config.include_path).expanduser().absolute()
    if folder is not None and not folder.is_dir():
        raise RecipeError(f"{PLACE}.include_path: expected a folder with YAML tasks, found none at '{folder}'")
    if folder is not None:
        own = _manager(folder, include_defaults=False)
        if all(_is_within(own, name) for name in config.tasks):  # lm-eval's own 10,000 files take 4 s to read
            return _read(own, config)
    return _read(_manager(folder, include_defaults=True), config)


def _manager(folder: Path | None, include_defaults: bool) -> "TaskManager":
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=None if folder is None else str(folder), include_defaults=include_defaults)


def _is_within(manager: "TaskManager", name: str) -> bool:
    """Return True if a name and all its members are in an index."""
    entry = manager.task_index.get(name)
    if entry is None:
        return False
    members = entry.tags if entry.kind.name == "TAG" else _names_of_members(entry.cfg) if _is_group(entry) else ()
    return all(_is_within(manager, member) for member in members)


def _is_group(entry: Any) -> bool:
    return bool(entry.kind.name == "GROUP")


def _names_of_members(config: Mapping[str, Any] | None) -> list[str]:
    """List the members of a group, including those of groups that its file defines."""
    names: list[str] = []
    for member in _members(config or {}):
        names += _names_of_members(member) if _is_inline(member) else [_as_member(member)[0]]
    return names


def _is_inline(member: Any) -> bool:
    """Return True if a member is a group that is defined in the file of its parent group."""
    return isinstance(member, dict) and "group" in member and "task" in member


def _members(config: Mapping[str, Any]) -> list[Any]:
    members = config.get("task") or []
    return list(members) if isinstance(members, list) else [members]


def _as_member(member: Any) -> tuple[str, dict[str, Any]]:
    """Return the name of a member, and the settings that its group overrides."""
    if isinstance(member, str):
        return member, {}
    name = str(member.get("group") or member.get("task"))
    return name, {key: value for key, value in member.items() if key not in ("group", "task")}


def _read(manager: "TaskManager", config: LmEvalConfig) -> Definitions:
    found = Definitions(manager)
    asked_by: dict[str, str] = {}
    for name in config.tasks:
        for leaf in _add(found, name, {}):
            other = asked_by.setdefault(leaf, name)
            if other != name and {other, name} & found.groups.keys():
                raise RecipeError(f"{PLACE}.tasks: '{leaf}' is part of '{other}' and '{name}'; remove one")
    for name, task in found.tasks.items():
        _check(name, task, config)
    return found


def _add(found: Definitions, name: str, overrides: dict[str, Any]) -> list[str]:
    """Add all tasks and groups that a name refers to; return the leaf tasks."""
    entry = found.manager.task_index.get(name)
    if entry is None:
        hint = did_you_mean(name, found.manager.all_tasks, LISTS)
        raise RecipeError(f"{PLACE}.tasks: lm-eval has no task '{name}'{hint}")
    if entry.kind.name == "TAG":
        return [task for member in sorted(entry.tags) for task in _add(found, member, overrides)]
    if _is_group(entry):
        return _add_group(found, name, _load(name, entry.yaml_path), overrides)
    content = {**_load(name, entry.yaml_path), **overrides}
    task = {key: value for key, value in content.items() if key not in NOT_OF_THE_TASK}
    if found.tasks.setdefault(name, task) != task:
        raise RecipeError(f"{PLACE}.tasks: '{name}' is in two groups that configure it differently")
    return [name]


def _add_group(found: Definitions, name: str, config: dict[str, Any], overrides: dict[str, Any]) -> list[str]:
    from lm_eval.config.group import GroupConfig

    found.groups[name] = config
    of_group = {field.name for field in dataclasses.fields(GroupConfig)}
    shared = {**{key: value for key, value in config.items() if key not in of_group}, **overrides}
    tasks: list[str] = []
    for listed in _members(config):
        if _is_inline(listed):
            tasks += _add_group(found, f"{name}::{listed['group']}", listed, shared)  # the name that lm-eval uses
            continue
        member, own = _as_member(listed)
        if member not in found.manager.task_index or "dataset_kwargs" in {**shared, **own}:
            raise RecipeError(
                f"{PLACE}.tasks: the group '{name}' defines its member '{member}' itself, so the data of that cannot "
                "be pinned; expected members with their own YAML files and their own `dataset_kwargs`"
            )
        tasks += _add(found, member, {**shared, **own})
    return tasks


def _load(name: str, path: Path) -> dict[str, Any]:
    from lm_eval.tasks._yaml_loader import load_yaml

    try:
        content: dict[str, Any] = load_yaml(path)
    except Exception as error:  # the task's own code may raise anything when it is imported
        raise RecipeError(
            f"{PLACE}.tasks: '{name}' cannot be read from {path}: {type(error).__name__}: {error}"
        ) from error
    return content


def _check(name: str, task: Mapping[str, Any], config: LmEvalConfig) -> None:
    if task.get("unsafe_code") and not config.confirm_run_unsafe_code:
        raise RecipeError(
            f"{PLACE}.tasks: '{name}' runs code that the model has written; to allow this, set "
            f"{PLACE}.confirm_run_unsafe_code to true"
        )
    for key in ("class", "custom_dataset"):
        if key in task:
            raise RecipeError(
                f"{PLACE}.tasks: '{name}' gets its data from Python code (`{key}`), which cannot be pinned; expected a "
                "task with `dataset_path`"
            )
    if task.get("doc_to_image") or task.get("doc_to_audio"):
        raise RecipeError(f"{PLACE}.tasks: '{name}' asks about images or sounds; expected a task with text only")
    for metric in task.get("metric_list") or ():
        _check_metric(name, metric, has_own_code=task.get("process_results") is not None)


def _check_metric(name: str, metric: Mapping[str, Any], has_own_code: bool) -> None:
    """Refuse a metric that the library `evaluate` would fetch from the Hub, because that is code without a version."""
    import lm_eval.api.metrics  # noqa: F401  # registers the metrics
    from lm_eval.api.registry import METRIC_REGISTRY

    called = metric.get("metric")
    if has_own_code or callable(called):
        return
    if metric.get("hf_evaluate") or called not in METRIC_REGISTRY:
        raise RecipeError(
            f"{PLACE}.tasks: '{name}' has a metric '{called}' that lm-eval would fetch as code from the Hub, which is "
            "not pinned; expected one of lm-eval's own, or a `!function`"
        )
