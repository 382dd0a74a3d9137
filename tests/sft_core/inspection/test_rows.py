"""Rows token by token."""

import pytest
from transformers import PreTrainedTokenizerFast

from sft_core.errors import RecipeError
from sft_core.inspection import RowView, first_rows, label, named_rows, random_rows, shortened, view_rows, worst_rows
from sft_core.inspection.display import Gap
from sft_core.inspection.pieces import TokenPiece, TokenReader
from sft_core.inspection.rows import lost_between
from sft_core.pretrained.plain_tokenizer import PlainTokenizer
from tests.sft_core.inspection.data_set import EMOJI_ROW, LONG_ROW, REJECTED_ROW, Prepared


def one(prepared: Prepared, plain: PlainTokenizer, source: str, row: int) -> RowView:
    [position] = named_rows(prepared.lineage, prepared.table, source, row)
    return view_rows(prepared.lineage, prepared.table, plain, [position])[0]


def text_of(view: RowView, kind: str) -> str:
    return "".join(piece.text for piece in view.pieces if piece.kind == kind and piece.part == 1)


def test_a_row_is_shown_as_the_loss_takes_it(prepared: Prepared, plain: PlainTokenizer) -> None:
    view = one(prepared, plain, "sums", 1)
    assert (view.source, view.row, view.line) == ("sums", 1, 2)
    assert text_of(view, "context") == "What is 1 plus 1?"
    assert text_of(view, "trained") == " 2<|im_end|>"
    assert [piece.is_special for piece in view.pieces][-2:] == [False, True]
    assert view.num_tokens == len(view.pieces)
    assert view.num_trained == sum(piece.kind == "trained" for piece in view.pieces)
    assert view.file.endswith("sums.jsonl")


def test_what_truncation_took_away_is_shown_behind_what_it_kept(prepared: Prepared, plain: PlainTokenizer) -> None:
    view = one(prepared, plain, "sums", LONG_ROW)
    kinds = [piece.kind for piece in view.pieces]
    assert kinds[:64].count("cut") == 0
    assert set(kinds[64:]) == {"cut"}
    assert len(kinds) - 64 == view.num_cut
    whole = "".join(piece.text for piece in view.pieces)
    assert whole == "Count!" + " one two three four" * 20 + "<|im_end|>"


@pytest.mark.parametrize(
    ("kept", "at", "lost"),
    [
        ([1, 2, 3], 3, [4, 5]),
        ([4, 5], 0, [1, 2, 3]),
        ([1, 2, 5], 2, [3, 4]),
        ([1, 2, 3, 4, 5], 5, []),
        ([1, 9], 0, []),
        ([1, 2, 3, 4, 5, 6], 0, []),
    ],
)
def test_the_stretch_that_is_missing_is_found_wherever_it_was(kept: list[int], at: int, lost: list[int]) -> None:
    assert lost_between(kept, [1, 2, 3, 4, 5]) == (at, lost)


def test_a_character_of_several_tokens_is_told_by_the_first_of_them(prepared: Prepared, plain: PlainTokenizer) -> None:
    view = one(prepared, plain, "sums", EMOJI_ROW)
    parts = [piece for piece in view.pieces if piece.parts > 1]
    assert label(parts[0]).endswith("🙂")
    assert {label(piece) for piece in parts[1:]} == {"‹"}
    assert text_of(view, "context") + text_of(view, "trained") == "Smile:\n 🙂!<|im_end|>"


def test_bytes_that_are_no_character_stay_as_they_are(
    tokenizer: PreTrainedTokenizerFast, plain: PlainTokenizer
) -> None:
    broken = tokenizer.convert_tokens_to_ids(["ð", "Ł", "a"])
    pieces = TokenReader(plain).read(broken, ["context"] * 3, None)
    assert [(piece.part, piece.parts) for piece in pieces] == [(1, 1)] * 3
    assert pieces[2].text == "a"


def test_whitespace_is_visible() -> None:
    texts = [" a b", "\n", "\t", "", "\u200b"]
    assert [label(TokenPiece(1, text, "context", False)) for text in texts] == ["·a·b", "↵", "→", "∅", "U+200B"]


def test_the_middle_of_a_long_stretch_is_left_out() -> None:
    pieces = [TokenPiece(7, "a", "context", False)] * 500 + [TokenPiece(8, "b", "trained", False)]
    shown = list(shortened(pieces))
    assert [item for item in shown if isinstance(item, Gap)] == [Gap(380, "context")]
    assert len(shown) == 60 + 1 + 60 + 1


def test_the_choice_of_rows_is_seeded_and_the_worst_are_told_why(prepared: Prepared) -> None:
    assert random_rows(prepared.table, 5, 1) == random_rows(prepared.table, 5, 1) != random_rows(prepared.table, 5, 2)
    worst = worst_rows(prepared.table, 1)
    assert list(worst.values()) == ["most tokens cut off", "fewest trained tokens", "longest that is whole"]
    assert prepared.table.row[next(iter(worst))] == LONG_ROW


def test_the_first_rows_of_each_source(prepared: Prepared) -> None:
    chosen = first_rows(prepared.lineage, prepared.table, 2)
    assert {name: prepared.table.row[rows].tolist() for name, rows in chosen.items()} == {
        "sums": [0, 1],
        "chats": [0, 1],
    }


def test_a_row_that_was_not_kept_is_refused_with_the_way_on(prepared: Prepared) -> None:
    with pytest.raises(RecipeError, match=f"--row sums:{REJECTED_ROW}: no such row was kept; `sft trace`"):
        named_rows(prepared.lineage, prepared.table, "sums", REJECTED_ROW)
    with pytest.raises(RecipeError, match="expected one of the sources chats, sums"):
        named_rows(prepared.lineage, prepared.table, "nowhere", 1)
