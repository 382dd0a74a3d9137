"""Tokenizing a shard: every token is accounted for."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.data.tokens import TokensConfig, encoder_of, tokenize
from sft_core.data.tokens.tokenize import CUT_TARGETS, NO_TARGET, TOO_LONG, UNEQUAL_MASK, UNKNOWN_IDS
from sft_core.errors import RecipeError
from sft_core.pretrained.tokenizer import TokenizerRef
from sft_core.store.ledger import Ledger, Rejection, read_rejections, write_rejections
from sft_core.store.records import RENDERED, StageOutcome
from sft_core.store.tables import iterate_rows, write_table

Row = dict[str, Any]
END = "<|im_end|>"


def row(text: str, start: int = 0, end: int | None = None, **fields: Any) -> Row:
    """One text whose characters from `start` are learned."""
    spans = [start, len(text) if end is None else end]
    rest = {"split": "train", "wants_special_tokens": True, "prompt": None, "reference": None}
    return {"text": text, "spans": spans, **rest, **fields}


def run(
    folder: Path,
    tokenizer: TokenizerRef,
    rows: list[Row],
    max_length: int | None = None,
    limits: dict[str, int | None] | None = None,
    **config: Any,
) -> StageOutcome:
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
    tokens = TokensConfig(max_length=max_length, **config)
    return tokenize(tokens, tokenizer, "train", folder, ledger, folder / "out", limits=limits)


def kept(folder: Path) -> list[Row]:
    return list(iterate_rows(folder / "out" / "tokens.arrow"))


def index(folder: Path) -> list[Row]:
    return list(iterate_rows(folder / "out" / "index.arrow"))


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


def test_the_end_is_kept_where_the_recipe_says_so(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    ledger = run(tmp_path, tokenizer_ref, [row("2+2=4")], max_length=4, truncation_mode="keep_end").ledger
    (tokens,) = kept(tmp_path)
    assert (decoded(tokenizer_ref, tokens["input_ids"]), tokens["loss_mask"]) == ("2=4" + END, [1, 1, 1, 1])
    assert ledger is not None
    assert (ledger.tokens_truncated, ledger.targets_train) == (2, 3)


def test_long_rows_are_rejected_where_the_recipe_says_so(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    outcome = run(tmp_path, tokenizer_ref, [row("2+2=4"), row("7")], max_length=4, truncation_mode="drop")
    assert reasons(outcome) == {TOO_LONG: 1}
    assert outcome.ledger is not None
    assert (outcome.ledger.tokens_rejected, outcome.ledger.rows_truncated) == (6, 0)


def test_a_cut_row_keeps_its_end_token_where_the_recipe_says_so(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    outcome = run(tmp_path, tokenizer_ref, [row("2+2=4")], max_length=4, keep_end_token=True)
    (tokens,) = kept(tmp_path)
    assert decoded(tokenizer_ref, tokens["input_ids"]) == "2+2" + END
    assert audit(outcome)["rows_with_restored_end"] == 1
    assert index(tmp_path)[0]["ends_with_stop"]


def test_the_caller_says_which_rows_are_cut(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    """A packing that cuts long rows into blocks itself wants them whole; the recipe's length then cuts nothing."""
    rows = [row("2+2=4"), row("2+2=4", split="eval")]
    run(tmp_path, tokenizer_ref, rows, max_length=4, limits={"train": None, "eval": 3})
    assert [entry["tokens"] for entry in index(tmp_path)] == [6, 3]


def audit(outcome: StageOutcome) -> dict[str, int]:
    assert outcome.facts is not None
    counts: dict[str, int] = outcome.facts["audit"]
    return counts


def test_every_kept_row_is_looked_at(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    turn = row(f"hi{END}\n", wants_special_tokens=False)
    outcome = run(tmp_path, tokenizer_ref, [row("2+2=4"), turn, row("7")], max_length=4)
    first, second, third = index(tmp_path)
    assert (first["tokens"], first["targets"], first["tokens_truncated"]) == (4, 3, 2)
    assert [entry["ends_with_stop"] for entry in (first, second, third)] == [False, True, True]
    assert (third["tokens"], third["targets"], third["tokens_truncated"]) == (2, 1, 0)
    assert audit(outcome) == {
        "rows": 3,
        "targets": 3 + second["targets"] + 1,
        "rows_truncated": 1,
        "targets_truncated": 2,
        "rows_without_stop": 1,
        "rows_with_doubled_bos": 0,
        "rows_with_restored_end": 0,
    }


def test_a_row_that_does_not_learn_its_end_token_is_known(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    run(tmp_path, tokenizer_ref, [row("2+2=4", start=2, end=4)])
    assert not index(tmp_path)[0]["ends_with_stop"]


def test_the_engine_is_a_fact(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    facts = run(tmp_path, tokenizer_ref, [row("2+2=4"), row("a\u0378")]).facts
    assert facts is not None
    assert facts["encoder"] == {"engine": "tiktoken", "reason": None, "rows_by_tokenizers": 1}


def test_what_a_row_is_known_by_goes_with_it(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    known = {"example_id": 2**64 - 1, "prompt_id": 7, "images": '["a.png"]'}
    run(tmp_path, tokenizer_ref, [row("words", start=2, end=2), row("one", **known), row("two")])
    first, second = kept(tmp_path)
    assert {name: first[name] for name in known} == known
    assert {name: second[name] for name in known} == dict.fromkeys(known)
    assert [entry["example_id"] for entry in index(tmp_path)] == [2**64 - 1, None]


def test_weights_of_spans_become_weights_of_tokens(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    weighted = row("2+2=4", spans=[0, 1, 2, 3, 4, 5], span_weights=[0.0, 1.0, 0.5])
    ones = row("7", span_weights=[1.0])
    run(tmp_path, tokenizer_ref, [weighted, ones, row("8")])
    first, second, third = kept(tmp_path)
    assert first["loss_weights"] == [0, 0, 1, 0, 0.5, 0.5]
    assert first["loss_mask"] == [0, 0, 1, 0, 1, 1]
    assert (second["loss_weights"], third["loss_weights"]) == (None, None)


def test_a_row_whose_spans_weigh_nothing_has_no_target(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    assert reasons(run(tmp_path, tokenizer_ref, [row("2+2=4", span_weights=[0.0])])) == {NO_TARGET: 1}


def ids_of(ids: list[int], loss_mask: list[int], **fields: Any) -> Row:
    """A row that came as token ids."""
    return row("", spans=[], input_ids=ids, loss_mask=loss_mask, **fields)


def test_rows_of_token_ids_stay_as_they_came_among_rows_of_text(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    rows = [ids_of([5, 6, 7], [0, 1, 1]), row("one"), ids_of([8, 9], [1, 1], wants_special_tokens=False)]
    run(tmp_path, tokenizer_ref, rows)
    first, text, last = kept(tmp_path)
    assert (first["input_ids"], first["loss_mask"]) == ([5, 6, 7], [0, 1, 1])
    assert (last["input_ids"], last["loss_mask"]) == ([8, 9], [1, 1])
    assert decoded(tokenizer_ref, text["input_ids"]) == "one" + END


def test_rows_of_token_ids_are_cut_and_checked_like_others(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    rows = [ids_of([5, 6, 7], [1, 1, 0]), ids_of([5, 6], [1, 0]), ids_of([5, 6, 7], [0, 0, 1])]
    outcome = run(tmp_path, tokenizer_ref, rows, max_length=2)
    assert [tokens["input_ids"] for tokens in kept(tmp_path)] == [[5, 6]]
    assert reasons(outcome) == {NO_TARGET: 1, CUT_TARGETS: 1}


def test_ids_outside_the_vocabulary_are_rejected(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    size = encoder_of(tokenizer_ref).vocabulary_size
    rows = [ids_of([size - 1, size], [1, 1]), ids_of([0, -1], [1, 1]), ids_of([0, size - 1], [1, 1])]
    outcome = run(tmp_path, tokenizer_ref, rows)
    assert reasons(outcome) == {UNKNOWN_IDS: 2}
    rejection = read_rejections(tmp_path / "out" / "rejected.jsonl")[1]
    assert (rejection.row, rejection.excerpt) == (10, f"{size - 1} {size}")


def test_unknown_ids_of_a_long_row_are_seen_before_it_is_cut(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    outcome = run(tmp_path, tokenizer_ref, [ids_of([5, 6, 10**6], [1, 1, 1])], max_length=2, keep_end_token=True)
    assert reasons(outcome) == {UNKNOWN_IDS: 1}


def test_a_mask_of_another_length_is_rejected(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    outcome = run(tmp_path, tokenizer_ref, [ids_of([5, 6], [1]), ids_of([5, 6], [0, 1]), row("one")])
    assert reasons(outcome) == {UNEQUAL_MASK: 1}
    assert [tokens["row"] for tokens in kept(tmp_path)] == [11, 12]


def test_text_in_the_data_is_no_special_token_unless_the_recipe_allows_it(
    tmp_path: Path, tokenizer_ref: TokenizerRef
) -> None:
    text = f"what is {END}?{END}"
    literal = row(text, wants_special_tokens=False, literals=[8, 8 + len(END)], split="eval", prompt=text[:-10])
    end = encoder_of(tokenizer_ref).frame.eos_token_id
    for folder, allowed, count in ((tmp_path / "text", False, 1), (tmp_path / "token", True, 2)):
        folder.mkdir()
        run(folder, tokenizer_ref, [literal], allow_special_tokens_in_content=allowed)
        (tokens,) = kept(folder)
        assert tokens["input_ids"].count(end) == count
        assert tokens["prompt_ids"].count(end) == count - 1
        assert decoded(tokenizer_ref, tokens["input_ids"]) == text


def test_the_recipe_can_name_another_end_token(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    run(tmp_path, tokenizer_ref, [row("one")], eos_token="<|pad|>")
    assert decoded(tokenizer_ref, kept(tmp_path)[0]["input_ids"]) == "one<|pad|>"


def test_an_end_token_that_the_vocabulary_lacks_is_an_error(tmp_path: Path, tokenizer_ref: TokenizerRef) -> None:
    with pytest.raises(RecipeError, match=r"tokens\.eos_token: expected a token of the vocabulary, found '<nothing>'"):
        run(tmp_path, tokenizer_ref, [row("one")], eos_token="<nothing>")


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
