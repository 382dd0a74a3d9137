"""Added tokens are found where `tokenizers` finds them."""

from collections.abc import Sequence

import orjson
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models

from sft_core.data.tokens.added_tokens import AddedTokens

LETTERS = {letter: number for number, letter in enumerate("<ab >")}


def tokenizer(raw: Sequence[str], normalized: Sequence[str] = (), **flags: bool) -> Tokenizer:
    backend = Tokenizer(models.BPE(LETTERS, []))
    backend.add_tokens([AddedToken(content, normalized=False, special=True, **flags) for content in raw])
    backend.add_tokens([AddedToken(content, normalized=True) for content in normalized])
    return backend


def added_tokens(backend: Tokenizer) -> AddedTokens:
    return AddedTokens.of(orjson.loads(backend.to_str())["added_tokens"])


def parts(backend: Tokenizer, text: str) -> list[str]:
    return [part for part, _ in added_tokens(backend).split(text)]


def test_a_text_without_any_is_one_part() -> None:
    assert list(added_tokens(tokenizer(["<a>"])).split("a < a")) == [("a < a", None)]


def test_the_longest_of_those_that_begin_at_one_place_is_found() -> None:
    spaces = tokenizer([], [" " * number for number in range(2, 6)])
    assert parts(spaces, "a" + " " * 8 + "b") == ["a", " " * 5, " " * 3, "b"]
    assert parts(spaces, "a" + " " * 6 + "b") == ["a", " " * 5, " b"]


def test_those_of_the_raw_text_come_before_those_of_the_normalized_text() -> None:
    assert parts(tokenizer(["<a>"], ["b<"]), "b<a>") == ["b", "<a>"]


def test_the_flags_that_look_around_are_left_to_the_tokenizer() -> None:
    added = added_tokens(tokenizer(["<a>"], lstrip=True))
    assert (added.ids, added.has_contextual("b <a>"), added.has_contextual("b a")) == ({}, True, False)


TOKENS = st.lists(st.text("<ab >", min_size=2, max_size=4), max_size=5, unique=True)


@given(raw=TOKENS, normalized=TOKENS, texts=st.lists(st.text("<ab >", max_size=20), max_size=6))
def test_any_tokens_are_found_as_by_tokenizers(raw: list[str], normalized: list[str], texts: list[str]) -> None:
    backend = tokenizer(raw, [content for content in normalized if content not in raw])
    added = added_tokens(backend)
    for text in texts:
        ids = [
            token
            for part, found in added.split(text)
            for token in ([LETTERS[letter] for letter in part] if found is None else [found])
        ]
        assert ids == backend.encode(text).ids
