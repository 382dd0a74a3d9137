"""Plain language modelling: one column of text, all of it learned. A row that is a bare string is read the same way."""

from sft_core.data.formats.dialects.dialect import Dialect, Fields, text_of
from sft_core.data.formats.rejection import RowRejectedError
from sft_core.store.records import TextExample


def _convert(fields: Fields) -> TextExample:
    text = text_of(fields, "text")
    if not text or text.isspace():
        raise RowRejectedError("`text` is empty")
    return TextExample(prompt="", completion=text, has_prompt=False)


TEXT = Dialect("text", "language modelling: `text`", (("text",),), _convert)
