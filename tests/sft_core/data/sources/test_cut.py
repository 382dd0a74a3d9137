"""Lines cut into ranges of whole rows."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.data.sources import cut
from sft_core.data.sources.cut import Range, cut_lines


def ranges(content: bytes, shard_rows: int) -> list[Range]:
    return list(cut_lines(io.BytesIO(content), shard_rows))


def texts(content: bytes, shard_rows: int) -> list[bytes]:
    return [content[part.offset : part.offset + part.num_bytes] for part in ranges(content, shard_rows)]


def test_the_example_of_the_docstring() -> None:
    content = b'{"a": 1}\n \n{"a": 2}\n{"a": 3}\n \n'
    assert ranges(content, 2) == [Range(0, 19, 0, 1, 2), Range(20, 8, 2, 4, 1)]
    assert texts(content, 2) == [b'{"a": 1}\n \n{"a": 2}', b'{"a": 3}']


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n \n"])
def test_how_the_file_ends_does_not_matter(end: bytes) -> None:
    assert texts(b"a\nb\nc\nd" + end, 2) == [b"a\nb", b"c\nd"]


def test_appending_rows_leaves_full_ranges_alone() -> None:
    before, after = texts(b"a\nb\nc\nd", 2), texts(b"a\nb\nc\nd\ne", 2)
    assert after == [*before, b"e"]


def test_a_byte_order_mark_belongs_to_no_range() -> None:
    assert ranges(b"\xef\xbb\xbfa\nb", 1) == [Range(3, 1, 0, 1, 1), Range(5, 1, 1, 2, 1)]


@pytest.mark.parametrize("content", [b"", b"\n", b" \t\r\n\x0b\x0c", b"\xef\xbb\xbf\n"])
def test_blank_lines_have_no_range(content: bytes) -> None:
    assert ranges(content, 2) == []


def test_a_line_of_nul_is_a_row() -> None:
    assert texts(b"\x00\n\x1f\n", 1) == [b"\x00", b"\x1f"]


LINES = st.lists(st.sampled_from([b"", b" ", b"\r", b"a", b" b", b"\x00", "é".encode(), b"long line"]), max_size=12)


@given(lines=LINES, ends=st.booleans(), shard_rows=st.integers(1, 4), chunk_bytes=st.integers(1, 9))
def test_ranges_hold_all_rows_in_order_wherever_the_chunks_end(
    lines: list[bytes], ends: bool, shard_rows: int, chunk_bytes: int
) -> None:
    content = b"\n".join(lines) + (b"\n" if ends else b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cut, "CHUNK_BYTES", chunk_bytes)
        found = ranges(content, shard_rows)
    rows = [(number, line) for number, line in enumerate(content.split(b"\n"), 1) if line.strip()]
    for index, part in enumerate(found):
        text = content[part.offset : part.offset + part.num_bytes]
        inside = [(number, line) for number, line in enumerate(text.split(b"\n"), part.first_line) if line.strip()]
        assert inside == rows[part.first_row : part.first_row + part.rows]
        assert part.rows == shard_rows or index == len(found) - 1
        assert part.first_row == index * shard_rows
    assert sum(part.rows for part in found) == len(rows)
