"""Canonical values and their digests, which decide whether two computations are the same.

An artifact's key is a digest of everything that its content depends on. These inputs are stored as plain JSON (the
*payload*), so that a cache miss can be explained by comparing two payloads field by field. Values whose text is not
stable (sets, floats like NaN, arbitrary objects) are refused, because keys made of them would change from one process
to the next. The code is a part of the payload too; `sft_core.store.closure` finds it.

    >>> digest({"b": 1, "a": (2.0, None)}) == digest({"a": [2.0, None], "b": 1})
    True
"""

import ast
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from sft_core.section import Section

PLACEMENT = "It computes the keys themselves: if it did so in another way, every artifact would have another key."
KEY_HEX_DIGITS = 32
"""Length of a digest. These 128 bits make collisions negligible, and are short enough for a folder name, an MLflow
digest (at most 36 characters) and a Prefect key."""


class Placement:
    """Base of classes that decide where or how fast work is done, and never its result; they enter no key."""


def canonical(value: Any) -> Any:
    """Convert a value to JSON types with exactly one representation.

    A dataclass becomes a dictionary of its fields, without those whose value is a `Placement`. If an object has a
    method `fingerprint()`, the value that it returns is used instead of the object.

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
    if is_dataclass(value) and not isinstance(value, type | Placement):
        items = {field.name: getattr(value, field.name) for field in fields(value)}
        return canonical({name: item for name, item in items.items() if not isinstance(item, Placement)})
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: canonical(value[key]) for key in sorted(value)}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | str):
        return [canonical(item) for item in value]
    raise TypeError(f"{type(value).__name__} {value!r} has no deterministic fingerprint")


def digest(value: Any) -> str:
    """Digest any value that `canonical` accepts: 32 hexadecimal digits."""
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


def code_text(tree: ast.Module) -> str:
    """Return a module's code without comments and docstrings, in a uniform layout. Changes the tree."""
    return ast.unparse(_without_docstrings(tree))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """Remove every bare string statement: docstrings and the descriptions of the recipe's fields."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [statement for statement in body if not _is_bare_string(statement)]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return tree


def _is_bare_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
