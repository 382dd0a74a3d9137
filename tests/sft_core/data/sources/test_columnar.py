"""Parquet and Arrow: values that JSON does not have."""

import base64
import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from .files import as_arrow, as_parquet, values_of, write

PNG = b"\x89PNG\x00\xff"
IN_BASE64 = base64.b64encode(PNG).decode()
UTC = dt.UTC

VALUES: dict[str, tuple[pa.Array, list[Any]]] = {
    "nested": (
        pa.array([[{"role": "user", "content": "hi"}], None]),
        [[{"role": "user", "content": "hi"}], None],
    ),
    "image": (
        pa.array([{"bytes": PNG, "path": "a.png"}, {"bytes": None, "path": "b.png"}]),
        [{"bytes": IN_BASE64, "path": "a.png"}, {"bytes": None, "path": "b.png"}],
    ),
    "images in a list": (
        pa.array([[{"bytes": PNG, "path": None}], []]),
        [[{"bytes": IN_BASE64, "path": None}], []],
    ),
    "binary": (pa.array([PNG, None]), [{"bytes": IN_BASE64, "path": None}, None]),
    "binary in a list": (pa.array([[PNG], None]), [[{"bytes": IN_BASE64, "path": None}], None]),
    "NaN and infinity": (pa.array([float("nan"), float("inf")]), [None, None]),
    "floats": (pa.array([0.1, -1e300]), [0.1, -1e300]),
    "large integers": (pa.array([2**64 - 1, 0], pa.uint64()), [2**64 - 1, 0]),
    "days": (pa.array([dt.date(2026, 5, 1), None]), ["2026-05-01", None]),
    "times": (
        pa.array([dt.datetime(2026, 5, 1, 12, 30, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
        ["2026-05-01T12:30:00+00:00", None],
    ),
    "nanoseconds": (
        pa.array([1_777_000_000_123_456_789, None], pa.timestamp("ns")),
        ["2026-04-24T03:06:40.123456789", None],
    ),
    "durations": (pa.array([dt.timedelta(hours=1), None]), ["1:00:00", None]),
    "decimals": (pa.array([Decimal("1.50"), None]), ["1.50", None]),
    "maps": (
        pa.array([[(1, PNG)], None], pa.map_(pa.int32(), pa.binary())),
        [{"1": {"bytes": IN_BASE64, "path": None}}, None],
    ),
    "dictionary": (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
    "json": (
        pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": [1, "x"]}', None])),
        [{"a": [1, "x"]}, None],
    ),
}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_every_type_has_a_json_value(tmp_path: Path, kind: str, ending: str) -> None:
    column, expected = VALUES[kind]
    table = pa.table({"x": column, "y": ["a", "b"]})
    path = write(tmp_path / f"x.{ending}", as_parquet(table) if ending == "parquet" else as_arrow(table))
    assert values_of(path) == [{"x": value, "y": name} for value, name in zip(expected, "ab", strict=True)]


def test_mapped_columns_of_a_table_get_our_names(tmp_path: Path) -> None:
    table = pa.table({"q": ["a"], "photo": pa.array([{"bytes": PNG, "path": None}])})
    path = write(tmp_path / "x.parquet", as_parquet(table))
    assert values_of(path, columns={"prompt": "q", "image": "photo"}) == [
        {"prompt": "a", "image": {"bytes": IN_BASE64, "path": None}}
    ]


def test_a_table_is_one_piece_and_many_shards(tmp_path: Path) -> None:
    rows = [{"a": number} for number in range(2500)]
    path = write(tmp_path / "x.parquet", as_parquet(rows))
    assert values_of(path, shard_rows=1000) == rows
