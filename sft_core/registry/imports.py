"""Which libraries a part of the code needs: what it imports, and what those of our modules import that it imports."""

import ast
import functools
import importlib.metadata
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGE = "sft_core"
PACKAGE_ROOT = Path(__file__).parents[1]


def libraries_of(module: str, root: Path = PACKAGE_ROOT) -> list[str]:
    """List the installed distributions that a module of ours, and all that it imports of ours, can import.

    Imports inside functions count. What is not installed is left out: it is optional, and is not needed here.

    Args:
        module: Its dotted name below the package, for example `registry.serving`.
        root: The package's folder.

    Returns:
        Names of distributions, in order.
    """
    by_module = _distributions()
    return sorted({name for imported in foreign_modules(module, root) for name in by_module.get(imported, [])})


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    """By the top-level modules that they install: for this, the file list of each is read."""
    return importlib.metadata.packages_distributions()


def foreign_modules(module: str, root: Path = PACKAGE_ROOT) -> set[str]:
    """The top-level modules behind `libraries_of` that are neither ours nor Python's own."""
    pending, seen, foreign = [module], set[Path](), set[str]()
    while pending:
        for file in _files_of(pending.pop(), root) - seen:
            seen.add(file)
            for name in _imported(ast.parse(file.read_text(encoding="utf-8"))):
                top, _, rest = name.partition(".")
                if top == PACKAGE:
                    pending.append(rest)
                elif top not in sys.stdlib_module_names:
                    foreign.add(top)
    return foreign


def _files_of(module: str, root: Path) -> set[Path]:
    """The files that Python runs to import a module: its own, and the `__init__` of each package around it."""
    parts = module.split(".") if module else []
    packages = {root.joinpath(*parts[:depth], "__init__.py") for depth in range(len(parts) + 1)}
    return {file for file in {*packages, root.joinpath(*parts).with_suffix(".py")} if file.is_file()}


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module.startswith(PACKAGE))
