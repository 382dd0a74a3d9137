"""Libraries that modules of this package need, directly or through the modules of this package that they import."""

import ast
import functools
import importlib.metadata
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

PACKAGE = "sft_core"
PACKAGE_ROOT = Path(__file__).parents[1]


def libraries_of(*modules: str) -> list[str]:
    """List the installed distributions that modules of this package can import, directly or transitively.

    Imports inside functions count. Distributions that are not installed are skipped: they are optional, and not needed
    in this environment.

    Args:
        modules: Dotted names of the modules below the package, for example `registry.serving`.

    Returns:
        Names of distributions, sorted.
    """
    by_module = _distributions()
    return sorted({name for imported in foreign_modules(modules, PACKAGE_ROOT) for name in by_module.get(imported, [])})


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    """Map top-level modules to distributions. Cached, because it reads the file list of every distribution."""
    return importlib.metadata.packages_distributions()


def foreign_modules(modules: Sequence[str], root: Path) -> set[str]:
    """Return the third-party top-level modules that modules of a package import, directly or transitively."""
    pending, seen, foreign = [*modules], set[Path](), set[str]()
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
    """Return the files that Python runs to import a module: its own, and the `__init__` of each parent package."""
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
