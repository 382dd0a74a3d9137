"""Which rows take part where only a share of a source is taken."""

import hashlib

from sft_core.records import Selection
from sft_core.selection import is_selected


def selected(seed: int, below: int, rows: range = range(2000)) -> set[int]:
    return {row for row in rows if is_selected(Selection(seed=seed, below=below), row, '{"text": "a"}')}


def test_the_draw_is_a_hash_of_seed_row_and_record() -> None:
    drawn = int.from_bytes(hashlib.blake2b('7 12 {"text": "ß"}'.encode()).digest()[:8], "big")
    assert is_selected(Selection(seed=7, below=drawn + 1), 12, '{"text": "ß"}')
    assert not is_selected(Selection(seed=7, below=drawn), 12, '{"text": "ß"}')


def test_about_the_asked_share_is_taken() -> None:
    assert abs(len(selected(1, 2**64 // 4)) - 500) < 80
    assert selected(1, 0) == set()
    assert len(selected(1, 2**64)) == 2000


def test_a_larger_share_takes_the_same_rows_and_more() -> None:
    assert selected(1, 2**62) < selected(1, 2**63)


def test_another_seed_takes_other_rows() -> None:
    assert selected(1, 2**63) != selected(2, 2**63)
