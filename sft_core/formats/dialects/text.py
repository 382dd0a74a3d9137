"""Plain language modelling: one column of text, all of it learned."""

from sft_core.formats.dialects.dialect import Dialect, Fields, RowRejectedError, text_of
from sft_core.records import TextExample


def _convert(fields: Fields) -> TextExample:
    text = text_of(fields, "text")
    if not text:
        raise RowRejectedError("`text` is empty")
    return TextExample(prompt="", completion=text, has_prompt=False)


TEXT = Dialect("text", "language modelling: `text`", frozenset({"text"}), _convert)
