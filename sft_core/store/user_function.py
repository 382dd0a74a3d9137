"""A function of the user, which is found by its name and identified by its code.

    rows.py:shorten                 a function in a file
    package.module.function         a function in a module, which is found in the working directory or as installed

Its identity is the code of its module, and of the modules that this one imports from its own folder or package, without
comments and layout. The code is read, and not run, to compute it. Other inputs of the function (files, the clock,
installed packages) are not part of its identity.
"""

import ast
import functools
import importlib
import importlib.util
import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from sft_core.errors import RecipeError
from sft_core.store.fingerprint import code_text, digest
from sft_core.store.records import FunctionRef

_LOADING = threading.Lock()
_IMPORTED: set[str] = set()
"""Modules of the user that were imported for the last function that was loaded."""


def locate_function(text: str, role: str) -> FunctionRef:
    """Find a function's module without importing it, and digest its code.

    Args:
        text: `package.module.function` or `path/to/file.py:function`.
        role: Purpose of the function in one word, for error messages: `transform`.

    Raises:
        RecipeError: if there is no such module, or the module has no such name.
    """
    what = f"{role} '{text}'"
    folder, module, function = _split_path(text, what) if ":" in text else _split_name(text, what)
    file = _module_file(folder, module)
    assert file is not None
    names = _names_bound_in(_parse(file, what))
    if function not in names and "*" not in names:
        found = ", ".join(sorted(names)) or "nothing"
        raise RecipeError(f"{what}: expected a function '{function}' in the module, found {found}")
    content_digest = digest_module(folder, module, what)
    return FunctionRef(name=f"{module}.{function}", folder=str(folder), content_digest=content_digest)


def load_function(ref: FunctionRef, role: str, argument: str) -> Callable[..., Any]:
    """Import the function.

    Args:
        ref: Reference to the function.
        role: As in `locate_function`.
        argument: Its argument in words, for error messages: `one row`.

    Raises:
        RecipeError: if its module cannot be imported, it is not callable, or its code has changed since it was located.
    """
    with _LOADING:
        return _load(ref, role, argument)


@functools.cache
def _load(ref: FunctionRef, role: str, argument: str) -> Callable[..., Any]:
    folder, (module, _, name) = Path(ref.folder), ref.name.rpartition(".")
    what = f"{role} '{ref.name}'"
    if digest_module(folder, module, what) != ref.content_digest:
        raise RecipeError(f"{what}: its code changed since the run began; run again")
    try:
        function = getattr(_import(folder, module), name, None)
    except Exception as error:
        raise RecipeError(f"{what}: importing '{module}' failed: {type(error).__name__}: {error}") from error
    if not callable(function) or inspect.iscoroutinefunction(function):
        kind = "an async function" if callable(function) else f"a {type(function).__name__}"
        raise RecipeError(f"{what}: expected a function of {argument}, found {kind}")
    return function  # type: ignore[no-any-return]


def _split_path(text: str, what: str) -> tuple[Path, str, str]:
    path, _, function = text.rpartition(":")
    file = Path(path).expanduser().absolute()
    if file.suffix != ".py" or not file.is_file():
        raise RecipeError(f"{what}: expected a Python file at '{path}', found none (looked for {file})")
    if "." in file.stem:
        raise RecipeError(f"{what}: expected a file name without another dot than that of .py")
    return file.parent, file.stem, function


def _split_name(text: str, what: str) -> tuple[Path, str, str]:
    module, _, function = text.rpartition(".")
    if not module or not all(part.isidentifier() for part in text.split(".")):
        raise RecipeError(f"{what}: expected `package.module.function` or `path/to/file.py:function`")
    for folder in _folders_with(module.split(".")[0]):
        if _module_file(folder, module):
            return folder, module, function
    raise RecipeError(f"{what}: expected a module '{module}' in {Path.cwd()} or among the installed ones, found none")


def _folders_with(top: str) -> Iterator[Path]:
    """Yield the folders that may contain a module or package: the working directory, then those of an import."""
    yield Path.cwd()
    spec = importlib.util.find_spec(top) if top not in ("__main__", "__mp_main__") else None
    if spec is not None:
        packages = [Path(location).parent for location in spec.submodule_search_locations or ()]
        yield from packages or ([Path(spec.origin).parent] if spec.origin else [])


def _module_file(folder: Path, module: str) -> Path | None:
    path = folder.joinpath(*module.split("."))
    files = (path.with_name(f"{path.name}.py"), path / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def _parse(file: Path, what: str) -> ast.Module:
    try:
        return ast.parse(file.read_bytes(), file.name)
    except (SyntaxError, ValueError) as error:
        raise RecipeError(f"{what}: {file} is not Python: {error}") from error


def _names_bound_in(tree: ast.Module) -> set[str]:
    """Return all names that a module binds, at any depth; with `*` if a star import may bind others."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name.split(".")[0])
    return names


def digest_module(folder: Path, module: str, what: str) -> str:
    """Digest the code of a module and of its own imports, without comments and layout.

    Args:
        folder: Folder that contains the module or its top-level package.
        module: Dotted name of the module.
        what: Name of the function, for error messages.

    Raises:
        RecipeError: if a file is not Python.
    """
    return digest({name: code_text(_parse(file, what)) for name, file in _own_modules(folder, module, what).items()})


def _own_modules(folder: Path, module: str, what: str) -> dict[str, Path]:
    """Return the module and all own modules that it imports, directly or indirectly: name → file."""
    found: dict[str, Path] = {}
    pending = [module]
    while pending:
        name = pending.pop()
        file = _module_file(folder, name) if name else None
        if name in found or file is None or not _is_own(name, module, folder):
            continue
        found[name] = file
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        pending += [*_imports(_parse(file, what), package), name.rpartition(".")[0] or name]
    return found


def _is_own(name: str, module: str, folder: Path) -> bool:
    """Return True if a module belongs to the user's code. Other packages in `site-packages` do not."""
    return name.split(".")[0] == module.split(".")[0] or folder.name not in ("site-packages", "dist-packages")


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))


def _import(folder: Path, module: str) -> ModuleType:
    """Import a module from its file; own modules that an earlier function imported are imported again."""
    file = _module_file(folder, module)
    assert file is not None
    for name in _IMPORTED:
        sys.modules.pop(name, None)
    before, writes_bytecode = set(sys.modules), sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True  # the time stamps of bytecode files are in whole seconds, too coarse for edits
    try:
        importlib.invalidate_caches()
        return _import_package(file, module) if "." in module or file.stem == "__init__" else _run_file(file)
    finally:
        sys.path.remove(str(folder))
        sys.dont_write_bytecode = writes_bytecode
        _IMPORTED.clear()
        _IMPORTED.update(_own_modules(folder, module, module).keys() & (sys.modules.keys() - before))


def _import_package(file: Path, module: str) -> ModuleType:
    imported = importlib.import_module(module)
    if imported.__file__ is None or Path(imported.__file__).resolve() != file.resolve():
        raise ImportError(f"another package of that name is in use, {imported.__file__}; give yours another name")
    return imported


def _run_file(file: Path) -> ModuleType:
    """Import a file under a unique name, so that a file called `datasets.py` does not replace the library."""
    spec = importlib.util.spec_from_file_location(f"function_in_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up here
    spec.loader.exec_module(module)
    return module
