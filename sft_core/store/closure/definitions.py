"""Parse a module into its top-level definitions, each with a digest of its code and the names that it uses."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sft_core.store.closure.messages import without_messages
from sft_core.store.fingerprint import digest_bytes

PLACEMENT = "It determines keys, and computes nothing that is stored."

EFFECTS = ""
"""Name under which the top-level statements that bind no name are kept, such as a call that registers something."""
MARK = "PLACEMENT"
_NAMED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")

Target = tuple[str, str]
"""The meaning of an imported name: a module and a name in it, or a module and an empty string for the whole module."""


@dataclass(slots=True)
class Definition:
    """A function, a class or a constant; or the other top-level statements of a module (`EFFECTS`)."""

    digest: str = ""
    """Digest of its code without docstrings and messages."""
    uses: list[str] = field(default_factory=list)
    """Dotted names in its source, as written: `plan`, `pa.table`, `self.rows`."""
    imports: dict[str, Target] = field(default_factory=dict)
    """Names that are imported inside its body."""
    texts: list[str] = field(default_factory=list)
    """String constants that have the form of a module's dotted name."""
    bases: list[str] = field(default_factory=list)
    """Dotted names of the base classes, if it is a class."""


@dataclass(slots=True)
class Module:
    """All top-level definitions of a module, and the targets of its imports."""

    definitions: dict[str, Definition]
    imports: dict[str, Target]
    typing_imports: list[str]
    """Names in `imports` that are imported for type checkers only."""
    placement: str | None
    """Reason why the code of the module enters no key; None if it does."""

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Module":
        """Make a module from the output of `dataclasses.asdict`."""
        definitions = {name: Definition(**_with_targets(fields)) for name, fields in value["definitions"].items()}
        return cls(**{**_with_targets(value), "definitions": definitions})


def _with_targets(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "imports": {name: tuple(target) for name, target in value["imports"].items()}}


def read_module(text: str, name: str, is_package: bool) -> Module:
    """Parse a module into its definitions.

    Args:
        text: The source code.
        name: The dotted name of the module, which is needed to resolve relative imports.
        is_package: True if the text is an `__init__.py`.

    Raises:
        SyntaxError: if the text is not valid Python.
    """
    package = name if is_package else name.rpartition(".")[0]
    imports: dict[str, Target] = {}
    typing_imports: list[str] = []
    statements: dict[str, list[ast.stmt]] = {}
    placement = None
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            imports |= _imported(statement, package)
        elif _is_for_type_checkers(statement):
            found = _imports_in(statement, package)
            imports |= found
            typing_imports += found
        elif (reason := _mark_of(statement)) is not None:
            placement = reason
        else:
            imports |= _imports_in(statement, package) if not isinstance(statement, _NAMED) else {}
            for bound in dict.fromkeys(_bound(statement)) or [EFFECTS]:
                if bound != EFFECTS or not _says_nothing(statement):
                    statements.setdefault(bound, []).append(statement)
    definitions = {bound: _describe(nodes, package) for bound, nodes in statements.items()}
    return Module(definitions, imports, typing_imports, placement)


def _describe(statements: list[ast.stmt], package: str) -> Definition:
    reader = _NameReader(package)
    for statement in statements:
        reader.visit(statement)
        if isinstance(statement, ast.ClassDef):
            reader.bases += [base for node in statement.bases if (base := _dotted(node))]
    code = [ast.dump(without_messages(statement), annotate_fields=False) for statement in statements]
    return Definition(
        digest=digest_bytes([one.encode("utf-8", "surrogatepass") for one in code]),
        uses=sorted(reader.uses),
        imports=reader.imports,
        texts=sorted(reader.texts),
        bases=reader.bases,
    )


class _NameReader(ast.NodeVisitor):
    """Visitor that collects the names that a statement uses."""

    def __init__(self, package: str) -> None:
        self.uses: set[str] = set()
        self.imports: dict[str, Target] = {}
        self.texts: set[str] = set()
        self.bases: list[str] = []
        self._package = package

    def visit_Name(self, node: ast.Name) -> None:
        self.uses.add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        dotted = _dotted(node)
        if dotted is None:
            self.generic_visit(node)
        else:
            self.uses.add(dotted)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and _DOTTED.fullmatch(node.value):
            self.texts.add(node.value)

    def visit_Import(self, node: ast.Import) -> None:
        self.imports |= _imported(node, self._package)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.imports |= _imported(node, self._package)

    def visit_arg(self, node: ast.arg) -> None:
        self._annotation(node.annotation)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node)
        self._annotation(node.annotation)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.generic_visit(node)
        self._annotation(node.returns)

    def _annotation(self, node: ast.AST | None) -> None:
        """Visit an annotation, also one that is written as a string."""
        for inner in ast.walk(node) if node is not None else ():
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                try:
                    self.visit(ast.parse(inner.value, mode="eval"))
                except SyntaxError:
                    continue  # a string in `Literal[…]`
        if node is not None:
            self.visit(node)


def _dotted(node: ast.AST) -> str | None:
    """Return `a.b.c` for a chain of attributes that begins with a name; None for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)) is not None:
        return f"{before}.{node.attr}"
    return None


def _imported(statement: ast.Import | ast.ImportFrom, package: str) -> dict[str, Target]:
    if isinstance(statement, ast.Import):
        tops = [alias.name.partition(".")[0] for alias in statement.names]
        pairs = zip(statement.names, tops, strict=True)
        return {alias.asname or top: (alias.name if alias.asname else top, "") for alias, top in pairs}
    module = statement.module or ""
    if statement.level:
        around = package.split(".")[: len(package.split(".")) - statement.level + 1]
        module = ".".join([*around, *([module] if module else [])])
    return {alias.asname or alias.name: (module, alias.name) for alias in statement.names}


def _imports_in(statement: ast.stmt, package: str) -> dict[str, Target]:
    found: dict[str, Target] = {}
    for node in ast.walk(statement):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= _imported(node, package)
    return found


def _is_for_type_checkers(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and (_dotted(statement.test) or "").endswith("TYPE_CHECKING")


def _says_nothing(statement: ast.stmt) -> bool:
    """Return True for a docstring, and for a block that contains only imports."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return True
    inner = [node for node in ast.walk(statement) if isinstance(node, ast.stmt) and node is not statement]
    return bool(inner) and all(isinstance(node, ast.Import | ast.ImportFrom | ast.Pass) for node in inner)


def _mark_of(statement: ast.stmt) -> str | None:
    """Return the reason if the statement is `PLACEMENT = "…"`; else None."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(reason))) if name == MARK:
            return reason
    return None


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a top-level statement binds, without those that it imports."""
    if isinstance(statement, _NAMED):
        yield statement.name
        return
    for node in _outside_functions(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, _NAMED):
            yield node.name


def _outside_functions(node: ast.AST) -> Iterable[ast.AST]:
    yield node
    if isinstance(node, _NAMED | ast.Lambda | ast.comprehension):
        return
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        return
    for child in ast.iter_child_nodes(node):
        yield from _outside_functions(child)
