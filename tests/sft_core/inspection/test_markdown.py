"""Pieces of Markdown."""

import base64

from sft_core.inspection.markdown import bar, cell, excerpt, number, picture, table


def test_a_cell_keeps_what_would_end_it() -> None:
    assert table(["a", "b"], [["x|y", "two\nlines"]]) == "| a | b |\n| --- | --- |\n| x\\|y | two lines |"
    assert cell(3) == "3"


def test_an_excerpt_is_one_line_and_says_that_it_was_cut() -> None:
    assert excerpt("a\n b", 10) == "a b"
    assert excerpt("0123456789", 10) == "0123456789"
    assert excerpt("0123456789x", 10) == "012345678…"


def test_a_bar_is_as_long_as_its_share_and_never_hides_what_is_there() -> None:
    assert bar(4, 8, 4) == "██"
    assert bar(5, 8, 4) == "██▌"
    assert bar(1, 1_000_000, 4) == "▏"
    assert bar(0, 8, 4) == bar(0, 0, 4) == ""


def test_a_picture_is_inside_the_text() -> None:
    text = picture("loss", "<svg/>")
    head, _, content = text.partition("base64,")
    assert head == "![loss](data:image/svg+xml;"
    assert base64.b64decode(content.removesuffix(")")) == b"<svg/>"


def test_what_is_not_there_is_a_dash() -> None:
    assert (number(None), number(0.123456)) == ("–", "0.1235")
