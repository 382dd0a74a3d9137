"""Compare what stages executed with what their closures hold."""

import ast
from pathlib import Path

from sft_core.store.closure import Codebase
from tasks.stages.codebase import definition_of

PROJECT = Path(__file__).parents[2]
TRACER = Path(__file__).parent


def executed(folder: Path) -> dict[tuple[str, str, str], set[str]]:
    """What a traced run wrote: stage, module and top-level definition of each function that was called, and the modules
    that called it."""
    lines = {line for file in folder.glob("*.txt") for line in file.read_text().splitlines()}
    found: dict[tuple[str, str, str], set[str]] = {}
    for line in lines:
        stage, file, number, caller = line.split(" ")
        called = (stage, *_called_at(file, int(number)))
        found.setdefault(called, set()).add(_module(caller))
    return found


def escaped(folder: Path) -> list[str]:
    """The functions that a stage executed and that no key covers.

    Not among them is what only places the work: marked modules and classes, and what nothing but marked modules called.
    """
    code, missing = Codebase(PROJECT), []

    def is_marked(module: str) -> bool:
        found = code.module(module)
        return found is not None and found.placement is not None

    for (stage, module, name), callers in sorted(executed(folder).items()):
        is_placement = is_marked(module) or code.is_placement(module, name) or all(map(is_marked, callers))
        if not is_placement and f"{module}:{name}" not in code.closure(definition_of(stage)).definitions:
            missing.append(f"{stage}: {module}:{name}, called by {', '.join(sorted(callers))}")
    return missing


def _called_at(file: str, line: int) -> tuple[str, str]:
    """Module and definition of a function; package and file of a function that was compiled from a template."""
    package, is_template, name = file.rpartition("/templates/")
    if is_template and not file.endswith(".py"):
        return _module(package), f"templates/{name}"
    return _module(file), _definition_at(PROJECT / file, line)


def _module(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _definition_at(path: Path, line: int) -> str:
    for statement in ast.parse(path.read_text()).body:
        first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])
        if first <= line <= (statement.end_lineno or line):
            if isinstance(statement, ast.FunctionDef | ast.ClassDef):
                return statement.name
            names = [
                node.id
                for node in ast.walk(statement)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            ]
            return names[0] if names else ""
    raise AssertionError(f"{path}:{line} is in no statement")
