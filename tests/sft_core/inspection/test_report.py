"""The report page: whole, well-formed, small, and free of anything from elsewhere."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError

from sft_core.data.gates import GateResult
from sft_core.inspection import RowTable, write_report
from sft_core.inspection.charts import bins_of
from sft_core.inspection.figures import ReasonFigures, figures_of
from sft_core.inspection.page import page
from sft_core.inspection.pieces import TokenPiece, TokenReader
from sft_core.inspection.rendering import render
from sft_core.inspection.rows import RowView
from sft_core.pretrained.plain_tokenizer import PlainTokenizer
from tests.sft_core.inspection.data_set import LONG_ROW, Prepared

VOID = {"meta", "br", "img"}
GATES = [
    GateResult(name="max_rejected_fraction", value=0.02, limit=0.5, what="50 rows are rejected"),
    GateResult(name="max_truncated_fraction", value=0.3, limit=0.1, what="9 tokens are cut off"),
]


class Reader(HTMLParser):
    """Checks that every tag is closed in order, and keeps the text and the attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def html(prepared: Prepared, plain: PlainTokenizer, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, "sums & chats", prepared.lineage, plain, GATES)
    return path.read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_asks_nothing_of_the_network(html: str) -> None:
    reader = read(html)
    assert not re.search(r"https?:|//|@import|url\(|<script|<link|<img", html.replace("<!doctype", ""))
    targets = [value for _, name, value in reader.attributes if name in ("href", "src")]
    assert all(target.startswith("#") for target in targets)
    anchors = {value for _, name, value in reader.attributes if name == "id"}
    assert {target[1:] for target in targets} <= anchors


def test_the_page_says_where_every_row_went(html: str) -> None:
    text = " ".join("".join(read(html).text).split())
    assert "52 rows in" in text
    assert "rejected 1 " in text
    assert "1 × `completion` is null" in text
    assert "sums, row 7, line 8" in text
    assert '{"prompt": "<b>Nobody</b> answers", "completion": null}' in text
    assert "prompt_completion 39" in text
    assert "messages 12" in text


def test_the_page_has_the_verdict_of_each_gate(html: str) -> None:
    text = "".join("".join(read(html).text).split("\n"))
    assert "max_rejected_fractionof 50 rows are rejected2.00%50%✓ passed" in text
    assert "max_truncated_fractionof 9 tokens are cut off30.00%10%✗ failed" in text


def test_a_token_that_was_cut_off_is_marked_and_an_emoji_stays_whole(html: str) -> None:
    reader = read(html)
    assert "most tokens cut off" in html
    assert any(tag == "b" and value == "x" for tag, name, value in reader.attributes if name == "class")
    assert "max_length 64" in html


def test_the_same_data_gives_the_same_page_and_another_seed_other_rows(
    prepared: Prepared, plain: PlainTokenizer, tmp_path: Path
) -> None:
    pages = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_report(tmp_path / name, "x", prepared.lineage, plain, seed=seed)
        pages.append((tmp_path / name).read_text())
    assert pages[0] == pages[1] != pages[2]


def test_the_figures_add_up_to_the_ledger(prepared: Prepared) -> None:
    figures = figures_of(prepared.lineage, prepared.table)
    for field in ("rows_in", "rows_rejected"):
        assert sum(getattr(source, field) for source in figures.sources) == figures.ledger[field]
    assert sum(source.rows_train for source in figures.sources) == figures.ledger["rows_trained"]
    assert sum(source.tokens for source in figures.sources) == sum(split.tokens for split in figures.splits)
    assert [source.rows_left_out for source in figures.sources] == [0, 0]
    assert figures.targets == figures.ledger["targets_trained"] + figures.ledger["targets_held_out"]
    train = figures.splits[0]
    assert int(train.tokens_per_block.sum()) == train.tokens
    assert int(train.rows_per_block.sum()) == train.rows
    assert train.fill(64) == pytest.approx(train.tokens / (64 * len(train.tokens_per_block)))


def test_text_of_the_data_is_escaped_wherever_it_is_shown(prepared: Prepared, plain: PlainTokenizer) -> None:
    script = "<script>alert('x')</script>\""
    figures = figures_of(prepared.lineage, prepared.table)
    rejected = {"source": script, "row": 1, "line": 2, "file": script, "excerpt": script}
    shown = replace(
        figures,
        sources=(replace(figures.sources[0], name=script, files=(script,), formats={script: 1}),),
        reasons=(ReasonFigures(script, script, 1, [rejected]),),
    )
    gate = GATES[1].model_copy(update={"name": script, "what": script})
    piece = TokenPiece(7, script, "trained", False, part=1, parts=2)
    view = RowView(script, script, 0, 1, "train", 1, 1, 0, (piece,), script)
    html = page(script, shown, [gate], [view], [])
    assert "<script" not in html
    reader = read(html)
    text = "".join(reader.text)
    places = ["title", "heading", "source", "file", "format", "reason", "stage", "rejected source", "rejected file"]
    places += ["excerpt", "failed gate", "gate", "what", "row source", "row file", "why", "token"]
    assert text.count(script) == len(places)
    assert ("b", "title", f"7 · 1 of 2 of {script}") in reader.attributes


def test_a_name_that_a_template_does_not_get_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'title' is undefined"):
        render("samples.html.jinja")


def test_long_rows_do_not_make_the_page_large(prepared: Prepared, plain: PlainTokenizer) -> None:
    kinds = ["context", "trained"] * 50_000
    pieces = tuple(TokenReader(plain).read([70] * 100_000, kinds, None))  # type: ignore[arg-type]
    figures, view = figures_of(prepared.lineage, prepared.table), RowView("s", "f", 0, 1, "train", 100, 50, 0, pieces)
    without, shown = (page("x", figures, [], [], views) for views in ([], [view]))
    assert len(shown) - len(without) < 60_000
    assert "… 99,520 more tokens …" in shown


def test_a_histogram_counts_every_value_once() -> None:
    bins = bins_of(np.array([0, 1, 5, 100, 100_000]), limit=None)
    assert bins.counts.sum() == 5
    assert bins_of(np.array([], dtype=np.int64), None).counts.sum() == 0


def test_the_table_has_what_the_row_lost(prepared: Prepared) -> None:
    table: RowTable = prepared.table
    position = int(np.flatnonzero((table.shard == 0) & (table.row == LONG_ROW))[0])
    assert table.tokens[position] == 64
    assert table.tokens_truncated[position] > 0
    assert prepared.lineage.max_length == 64
