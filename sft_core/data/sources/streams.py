"""Byte streams of pieces, decompressed as they are read, and the errors for content that is not as expected."""

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

import pyarrow as pa

from sft_core.data.sources.cut import UTF8_BOM
from sft_core.data.sources.file_kind import Compression
from sft_core.data.sources.pieces import FilePiece
from sft_core.errors import DataError

Stream: TypeAlias = "io.BufferedReader[io.RawIOBase]"
BUFFER_BYTES = 1 << 18
HEAD_BYTES = 64
SIGNATURES = {
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\x1f\x8b": "gzip, whose ending is .gz",
    b"BZh": "bzip2, whose ending is .bz2",
    b"\xfd7zXZ\x00": "xz, whose ending is .xz",
    b"\x28\xb5\x2f\xfd": "Zstandard, whose ending is .zst",
    b"PAR1": "Parquet, whose ending is .parquet",
    b"ARROW1": "Arrow, whose ending is .arrow",
}
"""First bytes of files that are often mistaken for UTF-8 text."""

DECOMPRESSORS: dict[Compression, Callable[[Path], Any]] = {
    "gzip": gzip.open,
    "bz2": bz2.open,
    "xz": lzma.open,
    "zstd": lambda path: pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"),
}


@contextlib.contextmanager
def open_piece(piece: FilePiece) -> Iterator[Stream]:
    """Open a piece at its first byte, decompressed if its file is compressed.

    Raises:
        DataError: while it is read, if its archive is broken.
    """
    raw: io.RawIOBase
    if piece.compression is None:
        raw = io.FileIO(piece.path)
        raw.seek(piece.range.offset if piece.range else 0)
    else:
        raw = _Decompressed(piece)
    with cast(Stream, io.BufferedReader(raw, BUFFER_BYTES)) as stream:
        yield stream


@contextlib.contextmanager
def open_text(piece: FilePiece) -> Iterator[Stream]:
    """Open a piece of text after its byte order mark, and explain where it is not UTF-8.

    Raises:
        DataError: if the text looks like UTF-16, or if a `UnicodeDecodeError` is raised inside the context; the message
            then has the offset of the first invalid byte.
    """
    try:
        with open_piece(piece) as stream:
            head = stream.peek(HEAD_BYTES)[:HEAD_BYTES]
            if head.startswith(UTF8_BOM):
                stream.read(len(UTF8_BOM))
            elif _alternates_with_nul(head):
                raise DataError(f"{piece.path}: expected UTF-8, found what looks like UTF-16; {_ADVICE}")
            yield stream
    except UnicodeDecodeError as error:
        raise _not_utf8(piece) from error


_ADVICE = "convert the file to UTF-8"


class _Decompressed(io.RawIOBase):
    """Decompressing stream that raises `DataError` for a broken archive."""

    def __init__(self, piece: FilePiece) -> None:
        self._piece = piece
        assert piece.compression is not None
        self._stream = cast(IO[bytes], DECOMPRESSORS[piece.compression](piece.path))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            content = self._stream.read(len(buffer))
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # an error of the disk, not of the archive
            raise DataError(
                f"{self._piece.path}: expected a whole {self._piece.compression} file, found: {error}"
            ) from error
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _alternates_with_nul(head: bytes) -> bool:
    """Return whether this looks like ASCII text that is stored in two bytes per character."""
    return len(head) >= 4 and any(not any(head[first::2]) and all(head[1 - first :: 2]) for first in (0, 1))


def _not_utf8(piece: FilePiece) -> DataError:
    with open_piece(piece) as stream:
        head = stream.peek(HEAD_BYTES)
        found = _first_bad_byte(stream)
    kinds = [name for signature, name in SIGNATURES.items() if head.startswith(signature)]
    if found is None:
        return DataError(f"{piece.path}: expected UTF-8, found other bytes; {_ADVICE}")
    position, value = found
    offset = position + (piece.range.offset if piece.range else 0)
    within = " of the decompressed text" if piece.compression else ""
    guess = f" (it looks like {kinds[0]})" if kinds and offset <= 4 else ""
    return DataError(
        f"{piece.path}: expected UTF-8, found byte {value:#04x} at offset {offset:,}{within}{guess}; {_ADVICE}"
    )


def _first_bad_byte(stream: IO[bytes]) -> tuple[int, int] | None:
    """Read text again, and return offset and value of the first byte that is not UTF-8, for an error message."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset = 0
    is_last = False
    while not is_last:
        chunk = stream.read(BUFFER_BYTES)
        is_last = not chunk
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(chunk, is_last)
        except UnicodeDecodeError as error:
            return offset - pending + error.start, error.object[error.start]
        offset += len(chunk)
    return None
