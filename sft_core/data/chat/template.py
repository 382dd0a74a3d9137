"""Render chat templates in Jinja's sandbox, and find the parts that a template itself marks as the assistant's.

The environment is the one that Hugging Face templates are written for (`trim_blocks`, `lstrip_blocks`, `tojson` that
keeps Unicode, `raise_exception`, `strftime_now`, loop controls). Two private-use characters are written around the
output of each `{% generation %}` block and removed afterwards. Their positions are the spans, whatever the template
does around them.
"""

import datetime
import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import orjson
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sft_core.errors import RecipeError

Span = tuple[int, int]
"""(start, end): characters [start, end) of a text."""

_OPEN, _CLOSE = "\uf8fe", "\uf8ff"
_MARKS = re.compile(f"([{_OPEN}{_CLOSE}])")


class TemplateRefusedError(Exception):
    """Error raised if the template cannot render a conversation, or its spans cannot be found; rejects the row."""


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """Source of a template, with the special tokens that it may write."""

    source: str
    special_tokens: tuple[tuple[str, str], ...]
    """(variable, text) of each named special token, for example (("bos_token", "<s>"), ("eos_token", "</s>"))."""
    date: str | None = None
    """Date (YYYY-MM-DD) that the recipe passes to templates which ask for today's date."""
    special_texts: tuple[str, ...] = ()
    """Text of every special token of the tokenizer. Data must not be able to forge these tokens."""

    @property
    def marks_generation(self) -> bool:
        """True if the template has `{% generation %}` blocks."""
        return any(_compiled(self.source, self.date)[1])

    def render(
        self,
        messages: Sequence[dict[str, Any]],
        *,
        add_generation_prompt: bool = False,
        tools: Sequence[dict[str, Any]] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> tuple[str, list[Span]]:
        """Render a conversation.

        Returns:
            The text, and the spans of its `{% generation %}` blocks.

        Raises:
            TemplateRefusedError: if the template raises, or the conversation contains one of the two characters that
                mark spans.
            RecipeError: if the template asks for a date and the recipe sets none, or if its syntax is invalid.
        """
        variables = {**dict(self.special_tokens), "documents": None, **_date_string(self.date), **(kwargs or {})}
        try:
            marked = _compiled(self.source, self.date)[0].render(
                messages=list(messages),
                tools=list(tools) if tools else None,
                add_generation_prompt=add_generation_prompt,
                **variables,
            )
        except RecipeError:
            raise
        except jinja2.TemplateError as error:
            raise TemplateRefusedError(f"the chat template refuses the conversation: {error.message}") from error
        except (TypeError, LookupError, AttributeError, ValueError, ArithmeticError) as error:
            raise TemplateRefusedError(
                f"the chat template fails on the conversation: {type(error).__name__}"
            ) from error
        if not self.marks_generation:
            return marked, []
        if _holds_marks([messages, tools, variables]):
            raise TemplateRefusedError("the conversation holds U+F8FE or U+F8FF, with which spans are marked here")
        return _take_marks_out(marked)


def _date_string(date: str | None) -> dict[str, str]:
    """Return the date in the format that Llama 3's templates take; without it they use a default of their own."""
    return {} if date is None else {"date_string": datetime.date.fromisoformat(date).strftime("%d %b %Y")}


def _take_marks_out(marked: str) -> tuple[str, list[Span]]:
    """Split a rendering into its text without marks and the spans between marks."""
    parts: list[str] = []
    spans: list[Span] = []
    opened: list[int] = []
    length = 0
    for piece in _MARKS.split(marked):
        if piece == _OPEN:
            opened.append(length)
        elif piece == _CLOSE:
            spans.append((opened.pop(), length))
        else:
            parts.append(piece)
            length += len(piece)
    return "".join(parts), spans


def _holds_marks(inputs: Any) -> bool:
    content = orjson.dumps(inputs)
    return any(mark.encode() in content for mark in (_OPEN, _CLOSE))


class _Generation(Extension):
    """Jinja extension that renders `{% generation %}…{% endgeneration %}` as its content between two marks."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        """Parse one block. Its content stays inline between two marks; a call would cost ten times as much as rendering
        most blocks."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        found: list[bool] = getattr(self.environment, "generation_blocks")  # noqa: B009
        found.append(True)
        opened, closed = (nodes.Output([nodes.TemplateData(mark)]) for mark in (_OPEN, _CLOSE))
        return nodes.Scope([opened, *body, closed]).set_lineno(line)


@functools.lru_cache(maxsize=16)
def _compiled(source: str, date: str | None) -> tuple[jinja2.Template, list[bool]]:
    """Compile a template. The returned list has one entry per `{% generation %}` block."""

    def tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    def strftime_now(layout: str) -> str:
        if date is None:
            raise RecipeError(
                "the chat template asks for today's date; set chat.template_date (YYYY-MM-DD), so that data stays "
                "the same"
            )
        return datetime.date.fromisoformat(date).strftime(layout)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    found: list[bool] = []
    environment.extend(generation_blocks=found)
    environment.filters["tojson"] = tojson
    del environment.filters["random"], environment.globals["lipsum"]  # tomorrow's data would differ from today's
    environment.globals.update(raise_exception=raise_exception, strftime_now=strftime_now)
    try:
        return environment.from_string(source), found
    except jinja2.TemplateSyntaxError as error:
        raise RecipeError(f"the chat template has an error in line {error.lineno}: {error.message}") from error
