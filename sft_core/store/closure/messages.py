"""Remove texts for people from a syntax tree: docstrings, and the messages of exceptions, warnings and logs.

    raise DataError(f"{path}: expected a number, found {value!r}")   →   raise DataError('…')
    logger().info("%d shards are missing", len(missing))             →   logger().info('…', len(missing))
    assert rows, "no row is left"                                    →   assert rows

Only texts are replaced. An argument that is a value (`DataError(path, row)`) still counts, because code may read it.
"""

import ast

PLACEMENT = "It determines keys, and computes nothing that is stored."

TEXT = "…"
"""Placeholder for every text that is removed."""
MESSAGE_ENDINGS = ("Error", "Exception", "Warning")
"""Endings of the names of exception classes; a call of such a name makes an exception, wherever it is."""
MESSAGE_CALLS = frozenset({"debug", "info", "warning", "warn", "error", "exception", "critical", "tell", "notify"})
"""Methods and functions whose text arguments are written to a log or shown to a person."""
DESCRIPTIONS = frozenset({"description", "title", "help"})
"""Keyword arguments of `Field(…)` that only describe the field."""


def without_messages(tree: ast.stmt) -> ast.stmt:
    """Return the statement without texts for people. Changes the tree in place."""
    stripped = _Stripper().visit(tree)
    assert isinstance(stripped, ast.stmt)
    return stripped


class _Stripper(ast.NodeTransformer):
    def visit(self, node: ast.AST) -> ast.AST:
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(node, field, None)
            if isinstance(statements, list):
                kept = [statement for statement in statements if not _is_bare_text(statement)]
                setattr(node, field, kept or ([ast.Pass()] if statements else []))
        visited: ast.AST = super().visit(node)
        return visited

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.exc, ast.Call):
            _blank(node.exc)
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        node.msg = None
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = _called_name(node)
        if name in MESSAGE_CALLS or name.endswith(MESSAGE_ENDINGS):
            _blank(node)
        elif name == "Field":
            node.keywords = [keyword for keyword in node.keywords if keyword.arg not in DESCRIPTIONS]
        return node


def _is_bare_text(node: ast.AST) -> bool:
    """Return True for a docstring, and for the description below a field of a recipe section."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _called_name(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _blank(call: ast.Call) -> None:
    call.args = [ast.Constant(TEXT) if _is_text(argument) else argument for argument in call.args]
    for keyword in call.keywords:
        if _is_text(keyword.value):
            keyword.value = ast.Constant(TEXT)


def _is_text(node: ast.AST) -> bool:
    """Return True if an expression is a literal text, also one that is concatenated or formatted."""
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
        case ast.BinOp(left=left, op=ast.Add() | ast.Mod(), right=right):
            return _is_text(left) or _is_text(right)
        case ast.IfExp(body=body, orelse=orelse):
            return _is_text(body) and _is_text(orelse)
        case ast.Call(func=ast.Attribute(value=value)):
            return _is_text(value)
    return False
