"""Ranks for `tiktoken` give what the list of merges gives in `tokenizers`, for any list."""

import random
from typing import Any

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from sft_core.data.tokens.byte_bpe import NO_ID, ByteBpe, NotProvenError, last_merge, prove_byte_bpe

Pair = tuple[str, str]


def model_of(merges: list[Pair], **fields: Any) -> dict[str, Any]:
    """A BPE of the letters a, b and c."""
    tokens = dict.fromkeys(["a", "b", "c", *(left + right for left, right in merges)])
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return {"type": "BPE", "vocab": vocabulary, "merges": [list(pair) for pair in merges], **fields}


def by_tokenizers(model: dict[str, Any], text: str) -> list[int]:
    backend = Tokenizer(models.BPE(model["vocab"], [tuple(pair) for pair in model["merges"]]))
    backend.model.ignore_merges = model.get("ignore_merges", False)
    return backend.encode(text).ids


def by_tiktoken(bpe: ByteBpe, text: str) -> list[int]:
    encoding = tiktoken.Encoding("test", pat_str=r"[\s\S]+", mergeable_ranks=dict(bpe.ranks), special_tokens={})
    return [int(bpe.ids[rank]) for rank in encoding.encode_ordinary(text)]


@st.composite
def lists_of_merges(draw: st.DrawFn) -> list[Pair]:
    """Any merges of tokens that there are, in any order: tokens made by several pairs, or never, or too early."""
    merges: list[Pair] = []
    for _ in range(draw(st.integers(1, 14))):
        tokens = sorted({"a", "b", "c", *(left + right for left, right in merges)})
        merges.append((draw(st.sampled_from(tokens)), draw(st.sampled_from(tokens))))
    return draw(st.permutations(list(dict.fromkeys(merges))))


TEXTS = st.lists(st.text("abc", max_size=25), min_size=1, max_size=8)


@settings(max_examples=200)
@given(merges=lists_of_merges(), texts=TEXTS)
def test_any_list_of_merges_is_run_alike(merges: list[Pair], texts: list[str]) -> None:
    model = model_of(merges)
    bpe = prove_byte_bpe(model)
    for text in [*texts, *model["vocab"]]:
        assert by_tiktoken(bpe, text) == by_tokenizers(model, text), text


def all_splits(merges: list[Pair]) -> list[Pair]:
    """For every token all pairs of tokens that make it, as in vocabularies that were converted from ranks."""
    tokens = list(dict.fromkeys(left + right for left, right in merges))
    known = {"a", "b", "c", *tokens}
    splits = [(token[:at], token[at:]) for token in tokens for at in range(1, len(token))]
    return [pair for pair in splits if known.issuperset(pair)]


@settings(max_examples=200)
@given(merges=lists_of_merges(), texts=TEXTS, with_all_splits=st.booleans())
def test_any_list_that_is_proven_with_ignore_merges_is_run_alike(
    merges: list[Pair], texts: list[str], with_all_splits: bool
) -> None:
    model = model_of(all_splits(merges) if with_all_splits else merges, ignore_merges=True)
    try:
        bpe = prove_byte_bpe(model)
    except NotProvenError:
        return
    for text in [*texts, *model["vocab"]]:
        assert by_tiktoken(bpe, text) == by_tokenizers(model, text), text


@pytest.mark.parametrize("seed", range(5))
def test_trained_vocabularies_are_run_alike(seed: int) -> None:
    """Trained on random words of few letters, in which the same token is often made in several ways."""
    choice = random.Random(seed)
    words = ["".join(choice.choices("abcd", [4, 3, 2, 1], k=choice.randint(1, 9))) for _ in range(400)]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.train_from_iterator(words, trainers.BpeTrainer(vocab_size=150, show_progress=False))
    model = {"type": "BPE", "vocab": backend.get_vocab(), "merges": _merges(backend)}
    bpe = prove_byte_bpe(model)
    for word in words:
        assert by_tiktoken(bpe, word * 3) == by_tokenizers(model, word * 3)


def _merges(backend: Tokenizer) -> list[Any]:
    import orjson

    return list(orjson.loads(backend.to_str())["model"]["merges"])


def test_a_pair_that_is_not_listed_is_not_merged() -> None:
    """`aab` comes of (aa, b) alone; ranks would allow (a, ab) as well, which never stands there."""
    bpe = prove_byte_bpe(model_of([("a", "a"), ("a", "b"), ("aa", "b")]))
    assert [token for token in bpe.ranks if len(token) > 1] == [b"aa", b"ab", b"aab"]


def test_a_token_that_merging_never_makes_is_left_out() -> None:
    """In `abc`, (b, c) is merged first, so `ab` + `c` never is."""
    bpe = prove_byte_bpe(model_of([("b", "c"), ("a", "b"), ("ab", "c")]))
    assert [token for token in bpe.ranks if len(token) > 1] == [b"bc", b"ab"]


def test_a_token_of_several_merges_stands_where_its_own_text_makes_it() -> None:
    merges = [("a", "b"), ("a", "bc"), ("b", "c"), ("c", "c"), ("ab", "c")]
    assert last_merge("abc", {pair: place for place, pair in enumerate(merges)}) == ("ab", "c")
    assert list(prove_byte_bpe(model_of(merges)).ranks)[-2:] == [b"cc", b"abc"]


def test_bytes_that_the_vocabulary_lacks_have_no_id() -> None:
    bpe = prove_byte_bpe(model_of([("a", "b")]))
    assert len(bpe.ranks) == 257
    assert (bpe.ids[bpe.ranks[b"a"]], bpe.ids[bpe.ranks[b"z"]]) == (0, NO_ID)


def test_older_files_write_a_merge_as_one_text() -> None:
    model = model_of([("a", "b"), ("ab", "c")])
    assert prove_byte_bpe({**model, "merges": ["a b", "ab c"]}).ranks == prove_byte_bpe(model).ranks


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"type": "Unigram"}, "the model is Unigram"),
        ({"dropout": 0.1}, "the BPE has dropout"),
        ({"byte_fallback": True, "end_of_word_suffix": "</w>"}, "the BPE has end_of_word_suffix, byte_fallback"),
    ],
)
def test_other_models_are_not_proven(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotProvenError, match=reason):
        prove_byte_bpe({**model_of([("a", "b")]), **fields})


def test_a_word_that_could_be_merged_from_an_unlisted_pair_is_not_proven() -> None:
    model = model_of([("b", "c"), ("a", "b"), ("ab", "c")], ignore_merges=True)
    with pytest.raises(NotProvenError, match="an unlisted pair"):
        prove_byte_bpe(model)
