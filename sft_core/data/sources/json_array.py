r"""Reading of a JSON array of rows, one row at a time, however long the array is.

Only strings, brackets and commas are searched for, to find where each element ends; the JSON parser reads the element
itself. One element and one chunk are in memory at a time.

    [{"a": "x, ]"}, 7 ]   →   {"a": "x, ]"}   7
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from sft_core.data.sources.pieces import FilePiece
from sft_core.data.sources.row_text import parse_row
from sft_core.errors import DataError

CHUNK_BYTES = 1 << 20
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
"""Matches a whole string, the opening quote of a string whose end is not read yet, a bracket, or a comma."""
_QUOTE, _COMMA, _BRACE = ord('"'), ord(","), ord("}")
_OPENING, _CLOSING = b"[{", b"]}"
_LIST_KEY = re.compile(rb'"(\w+)"\s*:\s*\[')
_KINDS = {b"{": "an object", b'"': "a string", b"t": "a boolean", b"f": "a boolean", b"n": "a null"}

Row = tuple[int | None, Any, bytes | None]


def read_json_array(stream: IO[bytes], piece: FilePiece) -> Iterator[Row]:
    """Yield (line on which it begins, value, JSON text) for each element.

    Raises:
        DataError: if the file is not exactly one whole array.
    """
    elements = _Elements(stream, piece)
    for content in elements:
        text = content.strip()
        leading = content[: len(content) - len(content.lstrip())]
        line = elements.line + leading.count(b"\n")
        column = len(leading) - leading.rfind(b"\n") - 1 + (0 if b"\n" in leading else elements.column)
        yield line, parse_row(text, piece, line, column), text


@dataclass
class _Elements:
    """Iterator over the texts of the elements, which cuts the array at the commas between them. `line` (from 1) and
    `column` (from 0) are the position at which the last yielded element begins, including its leading blanks."""

    stream: IO[bytes]
    piece: FilePiece
    line: int = 1
    column: int = 0
    _buffer: bytes = b""
    _start: int = 0
    """Position in the buffer at which the next element begins."""

    def __iter__(self) -> Iterator[bytes]:
        self._buffer = self._begin()
        depth, is_first = 1, True
        for token in self._brackets_and_commas():
            kind = self._buffer[token.start()]
            depth += (kind in _OPENING) - (kind in _CLOSING)
            if depth == 0 or (depth == 1 and kind == _COMMA):
                is_wrong = kind == _BRACE  # a brace in place of the last bracket, which the parser reports
                content = self._buffer[self._start : token.end() if is_wrong else token.start()]
                if content.strip() or kind == _COMMA or not is_first:
                    yield content
                self._advance(self._buffer[self._start : token.end()])
                self._start, is_first = token.end(), False
            if depth == 0:
                self._end(self._buffer[self._start :])
                return
        raise self._error("found the end of the file inside the row that begins here")

    def _brackets_and_commas(self) -> Iterator[re.Match[bytes]]:
        """Yield the brackets and commas outside of strings, reading chunks as needed and dropping yielded elements."""
        position = 0
        while True:
            for token in _TOKEN.finditer(self._buffer, position):
                if self._buffer[token.start()] != _QUOTE:
                    yield token
                elif token.end() == token.start() + 1:
                    position = token.start()
                    break
            else:
                position = len(self._buffer)
            rest = self._buffer[self._start :]
            chunk = self.stream.read(max(CHUNK_BYTES, len(rest)))
            if not chunk:
                return
            self._buffer, position, self._start = rest + chunk, position - self._start, 0

    def _begin(self) -> bytes:
        """Read up to the bracket that opens the array; return what was read after it."""
        head = b""
        while not head and (chunk := self.stream.read(CHUNK_BYTES)):
            self._advance(chunk[: len(chunk) - len(chunk.lstrip())])
            head = chunk.lstrip()
        if not head.startswith(b"["):
            raise self._no_array(head)
        self.column += 1
        return head[1:]

    def _end(self, rest: bytes) -> None:
        """Check that nothing but blanks follows the array."""
        while rest.isspace() or not rest:
            rest = self.stream.read(CHUNK_BYTES)
            if not rest:
                return
        raise self._error("found more after its end")

    def _advance(self, content: bytes) -> None:
        lines = content.count(b"\n")
        self.line += lines
        self.column = len(content) - content.rfind(b"\n") - 1 if lines else self.column + len(content)

    def _error(self, found: str) -> DataError:
        return DataError(f"{self.piece.path}, line {self.line}: expected one whole JSON array of rows, {found}")

    def _no_array(self, head: bytes) -> DataError:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # raises if it is another encoding, which explains more
        found = _KINDS.get(head[:1], "a number" if head[:1] in b"-0123456789" and head else "no JSON")
        advice = "for one object a line use the ending .jsonl or set `file_format: jsonl`"
        if lists := _LIST_KEY.search(head):
            key = lists[1].decode()
            advice += f"; if the rows are the list `{key}`, write that list to a file of its own (jq .{key})"
        return DataError(f"{self.piece.path}: expected a JSON array of rows, found {found}; {advice}")
