"""Tokenizing a shard: every token is accounted for."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sft_core.ledger import Ledger, Rejection, read_rejections, write_rejections
from sft_core.records import RENDERED, StageOutcome
from sft_core.tables import iterate_rows, write_table
from sft_core.tokenizer import TokenizerRef
from sft_core.tokens import TokensConfig, encoder_of, tokenize
from sft_core.tokens.tokenize import CUT_TARGETS, NO_TARGET

Row = dict[str, Any]
END = "<|im_end|>"


def row(text: str, start: int = 0, end: int | None = None, **fields: Any) -> Row:
    """One text whose characters from `start` are learned."""
    spans = [start, len(text) if end is None else end]
    rest = {"split": "train", "wants_special_tokens": True, "prompt": None, "reference": None}
    return {"text": text, "spans": spans, **rest, **fields}


def run(folder: Path, tokenizer: TokenizerRef, rows: list[Row], max_length: int | None = None) -> StageOutcome:
    """Tokenize rows; the stage's files lie in `folder/out`."""
    numbered = [{"row": 10 + number, "line": 20 + number, **fields} for number, fields in enumerate(rows)]
    write_table(folder / "rendered.arrow", RENDERED, numbered)
    earlier = Rejection(source="train", row=5, line=None, stage="detect_formats", reason="earlier", excerpt="")
    write_rejections(folder / "rejected.jsonl", [earlier])
    (folder / "out").mkdir()
    splits = [fields["split"] for fields in rows]
    ledger = Ledger(
        rows_in=len(rows) + 1,
        rows_train=splits.count("train"),
        rows_eval=splits.count("eval"),
        rows_rejected=1,
        rejected_by_reason={"earlier": 1},
    )
    return tokenize(TokensConfig(max_length=max_length), tokenizer, "train", folder, ledger, folder / "out")


def kept(folder: Path) -> list[Row]:
    return list(iterate_rows(folder / "out" / "tokens.arrow"))


def decoded(tokenizer: TokenizerRef, ids: list[int]) -> str:
    return encoder_of(tokenizer).backend.decode(ids, skip_special_tokens=False)


def test_texts_end_with_their_end_token_and_conversations_with_what_the_template_wrote(
    tmp_path: Path, tokenizer_ref: TokenizerRef
) -> None:
    chat = row(f"<|im_start|>user\nhi{END}\n", wants_special_tokens=False)
    run(tmp_path, tokenizer_ref, [row("one"), chat, row("two"), row("two" + END)])
    texts = [decoded(tokenizer_ref, tokens["input_ids"]) for tokens in kept(tmp_path)]
    assert texts == ["one" + END, chat["text"], "two" + END, "two" + END]


def test_rows_keep_their_numbers_and_order(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    rows = [row("one"), row("two", split="eval"), row("three", wants_special_tokens=False), row("four")]
    run(tmp_path, tokenizer_ref, rows)
    assert [(tokens["row"], tokens["line"], tokens["split"]) for tokens in kept(tmp_path)] == [
        (10, 20, "train"),
        (11, 21, "eval"),
        (12, 22, "train"),
        (13, 23, "train"),
    ]


def test_order_holds_over_many_batches(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    rows = [row(f"row {number}", wants_special_tokens=number % 3 == 0) for number in range(1300)]
    run(tmp_path, tokenizer_ref, rows)
    texts = [decoded(tokenizer_ref, tokens["input_ids"]).removesuffix(END) for tokens in kept(tmp_path)]
    assert texts == [fields["text"] for fields in rows]


def test_lengths_are_written_beside_the_tokens(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    run(tmp_path, tokenizer_ref, [row("one two three"), row("four", split="eval")])
    expected = [{"split": tokens["split"], "tokens": len(tokens["input_ids"])} for tokens in kept(tmp_path)]
    found = list(iterate_rows(tmp_path / "out" / "index.arrow"))
    assert [{name: entry[name] for name in ("split", "tokens")} for entry in found] == expected


def test_tokens_and_targets_are_counted_by_split(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    ledger = run(tmp_path, tokenizer_ref, [row("2+2=4", start=4), row("7", split="eval")]).ledger
    assert ledger is not None
    # 2 + 2 = 4 <end>, of which 4 and <end> are targets; then 7 <end>, of which nothing predicts the 7
    assert (ledger.tokens_in, ledger.tokens_train, ledger.tokens_eval) == (8, 6, 2)
    assert (ledger.targets_train, ledger.targets_eval) == (2, 1)


def test_truncation_keeps_the_start_and_is_counted(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    ledger = run(tmp_path, tokenizer_ref, [row("2+2=4"), row("7")], max_length=4).ledger
    assert [decoded(tokenizer_ref, tokens["input_ids"]) for tokens in kept(tmp_path)] == ["2+2=", "7" + END]
    assert ledger is not None
    assert (ledger.tokens_in, ledger.tokens_train, ledger.tokens_truncated, ledger.rows_truncated) == (8, 6, 2, 1)


def test_a_row_of_exactly_the_length_is_not_truncated(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    ledger = run(tmp_path, tokenizer_ref, [row("2+2=4")], max_length=6).ledger
    assert ledger is not None
    assert (ledger.rows_truncated, ledger.rows_train) == (0, 1)


def reasons(outcome: StageOutcome) -> dict[str, int]:
    assert outcome.ledger is not None
    return {reason: count for reason, count in outcome.ledger.rejected_by_reason.items() if reason != "earlier"}


def test_a_row_whose_targets_are_all_cut_off_is_rejected(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    outcome = run(tmp_path, tokenizer_ref, [row("2+2=4", start=4), row("2+4=6", start=3)], max_length=4)
    assert reasons(outcome) == {CUT_TARGETS: 1}
    assert [tokens["row"] for tokens in kept(tmp_path)] == [11]
    assert outcome.ledger is not None
    assert (outcome.ledger.tokens_in, outcome.ledger.tokens_rejected, outcome.ledger.tokens_truncated) == (12, 6, 2)


def test_a_row_without_a_target_is_rejected(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    nothing = row("words", start=2, end=2)
    only_the_first = row("2", wants_special_tokens=False)
    empty = row("", wants_special_tokens=False)
    assert reasons(run(tmp_path, tokenizer_ref, [nothing, only_the_first, empty])) == {NO_TARGET: 3}
    assert kept(tmp_path) == []


def test_a_length_of_one_leaves_no_target(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    assert reasons(run(tmp_path, tokenizer_ref, [row("2+2=4"), row("7")], max_length=1)) == {CUT_TARGETS: 2}


def test_one_target_left_by_the_cut_is_enough(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    run(tmp_path, tokenizer_ref, [row("2+2=4", start=4)], max_length=5)
    assert kept(tmp_path)[0]["loss_mask"] == [0, 0, 0, 0, 1]


def test_a_rejection_leads_back_to_its_row_behind_the_earlier_ones(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    run(tmp_path, tokenizer_ref, [row("one"), row("words", start=2, end=2)])
    _, rejection = read_rejections(tmp_path / "out" / "rejected.jsonl")
    expected = Rejection(source="train", row=11, line=21, stage="tokenize_chats", reason=NO_TARGET, excerpt="words")
    assert rejection == expected


def test_held_out_prompts_are_left_open(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    asked = row("2+2=4", start=4, split="eval", prompt="2+2=", reference="4")
    run(tmp_path, tokenizer_ref, [asked, row("one")])
    first, second = kept(tmp_path)
    assert (decoded(tokenizer_ref, first["prompt_ids"]), first["reference"]) == ("2+2=", "4")
    assert (second["prompt_ids"], second["reference"]) == (None, None)


def test_a_prompt_has_the_beginning_of_its_row(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    text = f"<|im_start|>user\n2+2?{END}\n<|im_start|>assistant\n4{END}\n"
    prompt = text[: text.index("4")]
    asked = row(text, split="eval", prompt=prompt, reference="4", wants_special_tokens=False)
    run(tmp_path, tokenizer_ref, [asked])
    (tokens,) = kept(tmp_path)
    assert tokens["input_ids"][: len(tokens["prompt_ids"])] == tokens["prompt_ids"]


def test_a_shard_without_rows_is_empty(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    outcome = run(tmp_path, tokenizer_ref, [])
    assert (kept(tmp_path), outcome.ledger) == (
        [],
        Ledger(rows_in=1, rows_rejected=1, rejected_by_reason={"earlier": 1}),
    )


@st.composite
def rendered_rows(draw: st.DrawFn) -> Row:
    text = draw(st.text(st.characters(codec="utf-8"), max_size=15))
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, len(text)))
    return row(
        text, start, end, split=draw(st.sampled_from(["train", "eval"])), wants_special_tokens=draw(st.booleans())
    )


@given(rows=st.lists(rendered_rows(), max_size=8), max_length=st.none() | st.integers(1, 12))
def test_every_row_is_kept_with_a_target_or_rejected(
    tokenizer_ref: TokenizerRef, rows: list[Row], max_length: int | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = run(Path(folder), tokenizer_ref, rows, max_length).ledger
        tokens = kept(Path(folder))
        rejected = read_rejections(Path(folder) / "out" / "rejected.jsonl")
    assert ledger is not None  # whose own sums are checked when it is made
    assert sorted([row["row"] for row in tokens] + [rejection.row for rejection in rejected[1:]]) == list(
        range(10, 10 + len(rows))
    )
    assert all(len(row["input_ids"]) == len(row["loss_mask"]) <= (max_length or 10**6) for row in tokens)
    assert all(sum(row["loss_mask"][1:]) >= 1 for row in tokens)
    assert ledger.tokens_train + ledger.tokens_eval == sum(len(row["input_ids"]) for row in tokens)
    assert ledger.targets_train + ledger.targets_eval == sum(sum(row["loss_mask"][1:]) for row in tokens)
