"""What makes two computations the same: canonical values, and the digest of the code that turns one into the other.

The idea: an artifact's key is a digest over everything its content hangs on, written down as plain JSON (the
*payload*), so that a miss can be explained by comparing two payloads field by field. Two things make such keys lie in
other systems, and are closed here:

- values whose text is not stable (sets, floats like NaN, arbitrary objects): `canonical` refuses them;
- code that changes while a hand-kept version number does not: `code_digest` reads the syntax trees of a room and of
every
  `sft_core` module it imports, without comments, docstrings and layout.

    >>> digest({"b": 1, "a": (2.0, None)}) == digest({"a": [2.0, None], "b": 1})
    True
"""

import ast
import functools
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sft_core.section import Section

KEY_HEX_DIGITS = 32
"""128 bits: no collision to be feared, and short enough for a folder name, an MLflow digest (at most 36) and a Prefect
key."""

PACKAGE_ROOT = Path(__file__).parent


class Placement:
    """Marks a value that says where or how fast work is done, never what comes out of it: it stays out of every key."""


def canonical(value: Any) -> Any:
    """Turn a value into JSON types that have one spelling only.

    An object that knows its own identity offers `fingerprint()`; what that returns is used in its place.

    Raises:
        TypeError: for values without a deterministic text (sets, NaN, functions, arbitrary objects).
    """
    if hasattr(value, "fingerprint"):
        return canonical(value.fingerprint())
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, Section):
        return canonical({name: getattr(value, name) for name in type(value).model_fields})
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: canonical(value[key]) for key in sorted(value)}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | str):
        return [canonical(item) for item in value]
    raise TypeError(f"{type(value).__name__} {value!r} has no deterministic fingerprint")


def digest(value: Any) -> str:
    """Digest any canonical value: 32 hexadecimal digits."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return digest_bytes([text.encode("utf-8", "surrogatepass")])


def digest_bytes(chunks: Iterable[bytes | memoryview]) -> str:
    """Digest a stream of bytes: 32 hexadecimal digits of BLAKE2b."""
    hasher = hashlib.blake2b(digest_size=KEY_HEX_DIGITS // 2)
    for chunk in chunks:
        hasher.update(chunk)
    return hasher.hexdigest()


def digest_file(path: Path) -> str:
    """Digest a file's bytes, read in pieces of 4 MiB."""
    with path.open("rb") as file:
        return digest_bytes(iter(lambda: file.read(1 << 22), b""))


def explain_difference(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """List the fields in which two key payloads differ, as `path: theirs → ours`."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [
            line
            for key in sorted({*ours, *theirs})
            for line in explain_difference(ours.get(key), theirs.get(key), f"{where}.{key}" if where else key)
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs, strict=True))
        return [line for index, (a, b) in pairs for line in explain_difference(a, b, f"{where}.{index}")]
    return [] if ours == theirs else [f"{where}: {theirs!r} → {ours!r}"]


def code_digest(rooms: Sequence[str], root: Path = PACKAGE_ROOT) -> str:
    """Digest the code that rooms of the package at `root` run, themselves and what they import of it.

    Comments, docstrings and layout do not count, so that explaining code better never costs a GPU week.

    Args:
        rooms: Names below the package, for example `("packing", "shards")`.
        root: The package's folder.
    """
    return _code_digest(tuple(rooms), root)


@functools.cache
def _code_digest(rooms: tuple[str, ...], root: Path) -> str:
    pending = sorted(file for room in rooms for file in _files_of(room, root))
    texts: dict[str, str] = {}
    while pending:
        file = pending.pop()
        name = file.relative_to(root).as_posix()
        if name in texts:
            continue
        texts[name], modules = _read_module(file, root.name)
        pending.extend(imported for module in modules for imported in _module_files(module, root))
    return digest(texts)


@functools.cache
def _read_module(file: Path, package: str) -> tuple[str, tuple[str, ...]]:
    """A module's code in one spelling, and what it imports of the package; many rooms share most of their modules."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imports = tuple(_imports(tree, package))
    return code_text(tree), imports


def _files_of(room: str, root: Path) -> list[Path]:
    """All the sources of a room: a package's files with its sub-packages', or the one module's."""
    folder = root.joinpath(*room.split("."))
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def _imports(tree: ast.Module, package: str) -> Iterable[str]:
    """Dotted names below `package` that a module imports; relative imports are not used in this package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name.removeprefix(f"{package}.") for name in names if name.startswith(f"{package}."))


def _module_files(module: str, root: Path) -> list[Path]:
    """The file of a module, or the whole of a package (whose `__init__` imports it anyway)."""
    path = root.joinpath(*module.split("."))
    if path.is_dir():
        return sorted(path.rglob("*.py"))
    return [path.with_suffix(".py")] if path.with_suffix(".py").is_file() else []


def code_text(tree: ast.Module) -> str:
    """Write a module's code in one spelling: without comments, docstrings and layout. Changes the tree."""
    return ast.unparse(_without_docstrings(tree))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """Drop every bare string statement: docstrings and the attribute docs of the recipe's fields."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [statement for statement in body if not _is_bare_string(statement)]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return tree


def _is_bare_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
