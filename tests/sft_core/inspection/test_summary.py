"""The data report in a page of Markdown."""

from typing import Any

import numpy as np

from sft_core.data.gates import GateResult
from sft_core.inspection.figures import Figures, ReasonFigures, SourceFigures, SplitFigures
from sft_core.inspection.summary import summary

SOURCE = SourceFigures(
    name="sums",
    files=("sums.jsonl",),
    formats={"prompt-completion": 1000},
    rows_in=1000,
    rows_train=870,
    rows_eval=100,
    rows_rejected=30,
    tokens=5000,
    targets=2000,
    tokens_truncated=0,
)
TRAIN = SplitFigures("train", 870, 4500, "d" * 32, np.full(50, 90), np.full(50, 17))
LEDGER = {"rows_in": 1000, "rows_trained": 870, "rows_held_out": 100, "rows_rejected": 30, "rows_left_out": 0}


def figures(**changes: Any) -> Figures:
    facts: dict[str, Any] = {
        "sources": (SOURCE,),
        "splits": (TRAIN,),
        "reasons": (ReasonFigures("`completion` is null", "detect_formats", 30),),
        "ledger": LEDGER,
        "whole_lengths": np.array([1, 10, 10, 12, 120]),
        "targets": 2000,
        "kept_tokens": 5000,
        "rows_truncated": 1,
        "max_length": 100,
    }
    return Figures(**{**facts, **changes})


def test_rows_tokens_rejections_and_lengths_are_told() -> None:
    page = summary(figures(), [])
    assert page.startswith("**1,000 rows in** = 870 trained + 100 held out + 30 rejected + 0 left out. 40.0% of the")
    for line in (
        "| sums | 1,000 | 870 | 100 | 30 |",
        "| train | 870 | 4,500 | 50 | 90.0% |",
        "| 30 | detect_formats | `completion` is null |",
        "| 1 to 10 | 3 | ████████████████████████ |",
        "| 11 to 20 | 1 | ████████ |",
        "| 21 to 30 | 0 |  |",
        "| 111 to 120 | 1 | ████████ |",
    ):
        assert line in page.splitlines(), line
    assert "half have at most 10, the longest 120. At most 100 are kept: 20.0% of the rows are longer." in page


def test_lengths_begin_where_there_are_rows() -> None:
    lines = summary(figures(whole_lengths=np.array([95, 120])), []).splitlines()
    assert lines[lines.index("| tokens | rows |  |") + 2 :][:3] == [
        "| 91 to 100 | 1 | ████████████████████████ |",
        "| 101 to 110 | 0 |  |",
        "| 111 to 120 | 1 | ████████████████████████ |",
    ]


def test_gates_stand_with_their_limits() -> None:
    gates = [
        GateResult(name="max_rejected_fraction", value=0.03, limit=0.5, what="rows"),
        GateResult(name="max_overlap_fraction", value=0.25, limit=0.0, what="rows"),
    ]
    lines = summary(figures(), gates).splitlines()
    assert "| max_rejected_fraction | 3.00% | 50.00% | passed |" in lines
    assert "| max_overlap_fraction | 25.00% | 0.00% | **crossed** |" in lines


def test_a_page_stays_a_page() -> None:
    sources = tuple(SOURCE for _ in range(500))
    reasons = tuple(ReasonFigures(f"reason {number} " + "x" * 500, "detect_formats", 1) for number in range(500))
    page = summary(figures(sources=sources, reasons=reasons, whole_lengths=np.arange(100_000)), [])
    assert len(page) < 6000
    assert "… and 480 more sources." in page
    assert "… and 490 more reasons; `rejected.jsonl` has every row." in page


def test_without_rejections_and_without_a_limit_nothing_is_made_up() -> None:
    page = summary(figures(reasons=(), max_length=None, whole_lengths=np.array([], np.int64)), [])
    assert "No row was rejected." in page
    assert "| train | 870 | 4,500 | 50 | – |" in page
    assert "Tokens a row" not in page
