"""Every kind of bad row is rejected with its reason, and good rows with odd neighbours are not."""

import json
from pathlib import Path
from typing import Any

import pytest

from sft_core.store.ledger import read_rejections
from tests.sft_core.data.formats.bad_rows import KINDS, nested
from tests.sft_core.data.formats.rows import SYSTEM, read, reason
from tests.sft_core.data.formats.test_detect import detect_records


@pytest.mark.parametrize(("row", "expected"), [kind[1:] for kind in KINDS], ids=[kind[0] for kind in KINDS])
def test_a_bad_row_is_refused_with_a_reason(row: Any, expected: str) -> None:
    assert reason(row) == expected


def test_all_kinds_of_bad_rows_in_one_source_are_accounted_for(tmp_path: Path) -> None:
    records = [row if isinstance(row, str) else json.dumps(row) for _, row, _ in KINDS]
    ledger = detect_records(tmp_path, [*records, '{"text": "good"}']).ledger
    assert ledger is not None
    assert (ledger.rows_in, ledger.rows_train, ledger.rows_rejected) == (len(KINDS) + 1, 1, len(KINDS))
    found = read_rejections(tmp_path / "rejected.jsonl")
    assert [(rejection.row, rejection.line) for rejection in found] == [(10 + n, 20 + n) for n in range(len(KINDS))]
    assert [rejection.reason for rejection in found] == [expected for _, _, expected in KINDS]


@pytest.mark.parametrize(
    "record",
    [
        '{"text": "good", "id": "\\ud800"}',
        '{"text": "good", "score": NaN}',
        '{"text": "good", "score": 1e999}',
        f'{{"text": "good", "tree": {nested(500)}}}',
        '{"text": "good", "\\ud800": "x"}',
        '{"text": "good", "blob": "\\u0000"}',
    ],
    ids=["surrogate", "NaN", "infinite", "deep", "key", "NUL"],
)
def test_damage_in_a_column_that_nobody_needs_costs_nothing(record: str) -> None:
    assert read(record).example == read({"text": "good"}).example


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "\ufeffa", "a\u2028b", "\U0010ffff", "\x01"])
def test_strange_but_valid_text_is_kept(text: str) -> None:
    assert json.loads(read({"text": text}).example)["completion"] == text


def test_a_name_that_is_not_unicode_can_be_in_a_reason(tmp_path: Path) -> None:
    detect_records(tmp_path, ['{"\\ud800": 1}'])
    (rejection,) = read_rejections(tmp_path / "rejected.jsonl")
    assert rejection.reason == "columns `?` fit no known format"


def test_a_line_of_ten_megabytes_is_a_row_like_others() -> None:
    text = "ten bytes " * 1_000_000
    assert len(read({"messages": [SYSTEM, {"role": "user", "content": text}]}).example) > len(text)
