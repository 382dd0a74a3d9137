"""Reading of Parquet and Arrow tables as rows of JSON values, one batch at a time.

Values that JSON cannot represent are written as:

    binary              {"bytes": <base64>, "path": null}; in a struct, a field `bytes` is just the base64 text, so an
                        image of `datasets` stays {"bytes": <base64>, "path": …}
    dates and times     ISO 8601 text
    decimals, durations text
    NaN, infinity       null (pandas stores missing numbers as NaN)
    maps                objects with their keys as text
    JSON columns        the values that their text represents
"""

import base64
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from sft_core.data.sources.pieces import FilePiece
from sft_core.errors import DataError

Row = tuple[int | None, Any, bytes | None]
Convert = Callable[[Any], Any]
BATCH_ROWS = 256
"""Number of rows that are converted at a time; small, because rows may hold images."""
BUFFER_BYTES = 1 << 20
_FILE_MAGIC = b"ARROW1"


def read_parquet(stream: IO[bytes], piece: FilePiece) -> Iterator[Row]:
    """Yield the rows of a Parquet file."""
    return _rows(_parquet_batches, stream, piece, "Parquet")


def read_arrow(stream: IO[bytes], piece: FilePiece) -> Iterator[Row]:
    """Yield the rows of an Arrow IPC file, or of an Arrow IPC stream, as `datasets` saves it."""
    return _rows(_arrow_batches, stream, piece, "Arrow")


def _parquet_batches(source: IO[bytes]) -> Iterator[pa.RecordBatch]:
    # without a buffer, a column is read for a whole row group at once, which may be the whole file
    yield from pq.ParquetFile(source, buffer_size=BUFFER_BYTES, pre_buffer=False).iter_batches(batch_size=BATCH_ROWS)


def _arrow_batches(source: IO[bytes]) -> Iterator[pa.RecordBatch]:
    is_file = source.read(len(_FILE_MAGIC)) == _FILE_MAGIC
    source.seek(0)
    if is_file:
        reader = pa.ipc.open_file(source)
        yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
    else:
        yield from pa.ipc.open_stream(source)


def _rows(
    batches: Callable[[IO[bytes]], Iterator[pa.RecordBatch]], stream: IO[bytes], piece: FilePiece, kind: str
) -> Iterator[Row]:
    try:
        for batch in batches(_seekable(stream, piece)):
            convert = _converter(pa.struct(list(batch.schema))) or (lambda row: row)
            for start in range(0, batch.num_rows, BATCH_ROWS):
                for row in batch.slice(start, BATCH_ROWS).to_pylist():
                    yield None, (value := convert(row)), orjson.dumps(value, default=_as_text)
    except (pa.ArrowException, OSError, orjson.JSONEncodeError, orjson.JSONDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{piece.path}: expected a whole {kind} file, found: {error}") from error


def _seekable(stream: IO[bytes], piece: FilePiece) -> IO[bytes]:
    """Return a seekable stream, because both formats are read from their end; decompress to a temporary file first."""
    if piece.compression is None:
        return stream
    copy = tempfile.TemporaryFile()  # noqa: SIM115  # deleted once it is no longer referenced
    while chunk := stream.read(BUFFER_BYTES):
        copy.write(chunk)
    copy.seek(0)
    return copy


def _as_text(value: Any) -> str:
    """Convert values that orjson cannot write to text: timestamps of pandas, decimals, durations."""
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


def _converter(kind: pa.DataType) -> Convert | None:
    """Build the function that turns values of a type into JSON values; return None if they already are."""
    if isinstance(kind, pa.BaseExtensionType):
        return _or_null(orjson.loads) if isinstance(kind, pa.JsonType) else _converter(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _converter(kind.value_type)
    if _is_binary(kind):
        return _or_null(lambda value: {"bytes": _base64(value), "path": None})
    if pa.types.is_struct(kind):
        return _struct_converter(kind)
    if pa.types.is_map(kind):
        item = _converter(kind.item_type) or (lambda value: value)
        return _or_null(lambda pairs: {str(key): item(value) for key, value in pairs})
    if _is_list(kind) and (item_of := _converter(kind.value_type)):
        return _or_null(lambda items: [item_of(value) for value in items])
    return None


def _struct_converter(kind: pa.StructType) -> Convert | None:
    converters = {
        field.name: _or_null(_base64) if field.name == "bytes" and _is_binary(field.type) else _converter(field.type)
        for field in kind
    }
    needed = {name: convert for name, convert in converters.items() if convert is not None}
    if not needed:
        return None
    return _or_null(lambda value: value | {name: convert(value[name]) for name, convert in needed.items()})


def _or_null(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _is_binary(kind: pa.DataType) -> bool:
    is_sized = pa.types.is_fixed_size_binary(kind) or pa.types.is_binary_view(kind)
    return bool(is_sized or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_list(kind: pa.DataType) -> bool:
    is_view = pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind)
    is_stored = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_view or is_stored)
