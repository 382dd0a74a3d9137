"""Both engines give the same tokens and masks, and a difference is seen."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, normalizers

from sft_core.data.tokens import Encoder, MaskedRows, TextRows

from .byte_level import END, USER, WORDS, encoder, like_gpt_neox, like_llama3

KINDS = [like_gpt_neox, like_llama3]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.__name__)
def both(request: pytest.FixtureRequest) -> tuple[Encoder, Encoder]:
    """The encoder with `tiktoken`, and the one without."""
    fast = encoder(request.param())
    return fast, replace(fast, fast=None)


def encoded(tokenizer: Encoder, rows: TextRows, threads: int = 1) -> MaskedRows:
    return tokenizer.encode(rows, threads)[0]


def assert_equal(ours: MaskedRows, theirs: MaskedRows) -> None:
    assert list(ours) == list(theirs)
    assert np.array_equal(ours.weights_or_ones(), theirs.weights_or_ones())


LETTERS = ["é", "e\u0301", "漢", "😀", "👩\u200d🚀", "½", "ſ", "\u0378"]
SNIPPETS = ["  ", "    ", "\n\n", "'s", USER, END, "<|", "|>", "42", " a", *LETTERS]
TEXTS = st.lists(st.sampled_from(SNIPPETS) | st.sampled_from(WORDS) | st.text("ab .", max_size=4), max_size=8).map(
    "".join
)


@st.composite
def text_rows(draw: st.DrawFn) -> TextRows:
    texts = draw(st.lists(TEXTS, max_size=6))
    spans, weights = [], []
    for text in texts:
        bounds = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
        spans.append(bounds[: len(bounds) // 2 * 2])
        weights.append(draw(st.none() | st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=3, max_size=3)))
    weights = [w if w is None else w[: len(flat) // 2] for w, flat in zip(weights, spans, strict=True)]
    return TextRows.of(texts, spans, [draw(st.booleans()) for _ in texts], weights=weights)


@given(rows=text_rows())
def test_ids_masks_and_weights_are_the_same(both: tuple[Encoder, Encoder], rows: TextRows) -> None:
    fast, exact = both
    masked, use = fast.encode(rows)
    assert use.engine == "tiktoken", use.reason
    assert_equal(masked, encoded(exact, rows))


@given(rows=text_rows())
def test_threads_change_nothing(both: tuple[Encoder, Encoder], rows: TextRows) -> None:
    fast, _ = both
    assert_equal(encoded(fast, rows, threads=3), encoded(fast, rows))


def test_the_engine_is_named(both: tuple[Encoder, Encoder]) -> None:
    rows = TextRows.of(["a  b", "e\u0301", "\u0378"], [[]] * 3, True)
    fast, exact = both
    composes = fast.backend.normalizer is not None
    assert fast.encode(rows)[1].rows_by_tokenizers == 1 + composes, "what NFC changes, and what Unicode does not know"
    assert exact.encode(rows)[1].engine == "tokenizers"


def test_a_run_of_spaces_is_one_added_token_in_a_fast_row() -> None:
    tokenizer = encoder(like_gpt_neox())
    rows, use = tokenizer.encode(TextRows.of(["a    b"], [[]], False))
    assert use.rows_by_tokenizers == 0
    assert tokenizer.backend.token_to_id("    ") in rows[0].input_ids


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_with_a_token_that_hangs_on_its_surroundings_is_left_to_tokenizers(kind: Callable[[], Tokenizer]) -> None:
    backend = kind()
    backend.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    fast = encoder(backend)
    rows = TextRows.of(["a  <mask> b", "a b"], [[0, 3], [0, 1]], False)
    assert fast.encode(rows)[1].rows_by_tokenizers == 1
    assert_equal(encoded(fast, rows), encoded(replace(fast, fast=None), rows))


def test_more_spaces_than_the_engine_can_take_are_left_to_tokenizers() -> None:
    backend = like_llama3()
    fast = encoder(backend)
    _, use = fast.encode(TextRows.of([" " * 1_000_000, "a b"], [[], []], False))
    assert use.rows_by_tokenizers == 1


def test_one_row_that_differs_sends_the_whole_shard_to_tokenizers() -> None:
    fast = encoder(like_gpt_neox())
    assert fast.fast is not None
    wrong = replace(fast, fast=replace(fast.fast, ids=np.roll(fast.fast.ids, 1)))
    rows = TextRows.of(["two and three", "five"], [[0, 3], [0, 4]], True)
    masked, use = wrong.encode(rows)
    assert (use.engine, use.reason) == ("tokenizers", "tiktoken and tokenizers encode text 0 of the shard differently")
    assert_equal(masked, encoded(replace(fast, fast=None), rows))


def test_a_tokenizer_that_is_not_proven_says_why() -> None:
    backend = like_gpt_neox()
    backend.normalizer = normalizers.Lowercase()
    _, use = encoder(backend).encode(TextRows.of(["a"], [[]], True))
    assert (use.engine, use.reason, use.rows_by_tokenizers) == ("tokenizers", "the normalizer is Lowercase", 1)
