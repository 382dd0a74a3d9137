"""What only people read is no code."""

import ast

import pytest

from sft_core.store.closure.messages import without_messages


def stripped(text: str) -> str:
    return ast.unparse(without_messages(ast.parse(text).body[0]))


@pytest.mark.parametrize(
    "text",
    [
        "raise DataError('one')",
        'raise DataError(f"one {path}: {value!r}")',
        'raise DataError("one " f"{path}") from error',
        "raise DataError('%s one' % path)",
        "raise DataError('one {}'.format(path))",
        "raise DataError('one' if is_one else f'two {x}')",
    ],
)
def test_the_text_of_an_exception_is_no_code(text: str) -> None:
    assert stripped(text).startswith("raise DataError('…')")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("return RecipeError(f'{name} is missing')", "return RecipeError('…')"),
        ("logger().info('%d rows', len(rows))", "logger().info('…', len(rows))"),
        ("self.logger.warning('lost')", "self.logger.warning('…')"),
        ("warnings.warn('old', FutureWarning, stacklevel=2)", "warnings.warn('…', FutureWarning, stacklevel=2)"),
        ("assert rows, f'no row of {name}'", "assert rows"),
        ("x: int = Field(default=3, description='the number')", "x: int = Field(default=3)"),
    ],
)
def test_texts_for_people_go_and_all_else_stays(text: str, left: str) -> None:
    assert stripped(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "raise DataError(path, row)",
        "reason = 'no target is left'",
        "return 'text'",
        "write('text')",
        "reject(row, 'no target is left')",
    ],
)
def test_texts_that_code_may_read_are_code(text: str) -> None:
    assert stripped(text) == text


def test_docstrings_and_descriptions_of_fields_are_no_code() -> None:
    code = "class A:\n    'What it is.'\n    x: int = 3\n    'In tokens.'\n    def f(self):\n        'Do it.'\n"
    assert stripped(code) == "class A:\n    x: int = 3\n\n    def f(self):\n        pass"
