"""Both engines cut text alike."""

import sys
import unicodedata

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from sft_core.data.tokens.pretokens import EQUAL_PATTERNS, GPT2, LLAMA3, QWEN2, pattern_of, unknown_characters

BYTES = {bytes([byte]): byte for byte in range(256)}
KNOWN = [
    chr(code)
    for code in range(sys.maxunicode + 1)
    if unicodedata.category(chr(code)) not in ("Cn", "Cs")  # not assigned; halves of a pair, which no text has
]
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def matched_by_tiktoken(pattern: str, text: str) -> str:
    """The matches, one behind the other: what does not match is dropped."""
    encoding = tiktoken.Encoding("test", pat_str=pattern, mergeable_ranks=BYTES, special_tokens={})
    return bytes(encoding.encode_ordinary(text)).decode()


def unmatched_by_tokenizers(pattern: str, text: str) -> str:
    pieces = pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str(text)
    return "".join(piece for piece, _ in pieces)


@pytest.mark.parametrize("characters", [r"\p{L}", r"\p{N}", r"\s", "(?i:[stremvld])"])
def test_every_known_character_is_of_the_same_class_in_both(characters: str) -> None:
    text = "".join(KNOWN)
    matched = set(matched_by_tiktoken(characters, text))
    assert matched == set(text) - set(unmatched_by_tokenizers(f"{characters}+", text))


def test_no_character_forms_a_contraction_in_one_of_them_alone() -> None:
    text = " ".join(
        f"'{character}e '{character}l 'l{character} '{character}" for character in KNOWN if character != " "
    )
    contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    pieces = pre_tokenizers.Split(Regex(contraction), "removed", invert=True).pre_tokenize_str(text)
    assert matched_by_tiktoken(contraction, text) == "".join(piece for piece, _ in pieces)


@pytest.mark.parametrize("pattern", sorted(EQUAL_PATTERNS))
def test_a_pattern_leaves_nothing_out(pattern: str) -> None:
    text = "".join(f"{character}x" for character in KNOWN)
    assert matched_by_tiktoken(pattern, text) == text


SPACES = ["  ", "\r\n", "\n \n", "\t", "\xa0"]
WORDS = st.sampled_from(["don't", "I'LL", "'s", "'ſ", "12345", "½", "e\u0301", "漢字", *SPACES])
TEXTS = st.lists(WORDS | st.sampled_from(KNOWN) | st.sampled_from(list("ab 1'.\n")), max_size=25).map("".join)


@pytest.mark.parametrize("pattern", sorted(EQUAL_PATTERNS))
@given(text=TEXTS)
def test_words_are_the_same(pattern: str, text: str) -> None:
    """Found by giving every text of one character, and every word of it, an id."""
    words = [word for word, _ in pre_tokenizers.Split(Regex(pattern), "isolated").pre_tokenize_str(text)]
    tokens = sorted({word.encode() for word in words} - BYTES.keys())
    ranks = BYTES | {token: rank for rank, token in enumerate(tokens, 256)}
    encoding = tiktoken.Encoding("test", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    assert encoding.decode_tokens_bytes(encoding.encode_ordinary(text)) == [word.encode() for word in words]


def test_the_regex_of_byte_level_is_gpt2s() -> None:
    text = "It's 42  times\n\n'LL ½ don't…"
    by_itself = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    by_pattern = pre_tokenizers.Split(Regex(GPT2), "isolated").pre_tokenize_str(text)
    assert [offsets for _, offsets in by_itself] == [offsets for _, offsets in by_pattern]


def split(pattern: str, **fields: object) -> dict[str, object]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False, **fields}


def sequence(*parts: dict[str, object]) -> dict[str, object]:
    return {"type": "Sequence", "pretokenizers": list(parts)}


@pytest.mark.parametrize("pattern", [LLAMA3, QWEN2])
def test_a_split_before_byte_level_has_its_pattern(pattern: str) -> None:
    assert pattern_of(sequence(split(pattern), BYTE_LEVEL)) == pattern


@pytest.mark.parametrize(
    "pre_tokenizer",
    [
        None,
        {"type": "Metaspace"},
        {**BYTE_LEVEL, "use_regex": True, "add_prefix_space": True},
        sequence(split(r"\p{L}+"), BYTE_LEVEL),
        sequence(split(QWEN2, invert=True), BYTE_LEVEL),
        sequence(split(QWEN2), {**BYTE_LEVEL, "use_regex": True}),
        sequence(split(QWEN2), split(GPT2), BYTE_LEVEL),
    ],
    ids=str,
)
def test_anything_else_has_none(pre_tokenizer: dict[str, object] | None) -> None:
    assert pattern_of(pre_tokenizer) is None


def test_characters_that_unicode_has_not_assigned_are_unknown() -> None:
    assert unknown_characters(["a\u0378b", "é漢😀"]) == {"\u0378"}
