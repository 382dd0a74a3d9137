"""Prove that `tiktoken` encodes exactly as `tokenizers` for a byte-level BPE tokenizer, and compute the ranks for it.

Both repeatedly merge the pair of adjacent tokens that is due first, and the leftmost of equal pairs. They differ in
which pairs are due. `tokenizers` has a list of merges: a pair (a, b) is due at its place in the list, and a pair that
is not in the list is never due. `tiktoken` has ranks of tokens: any pair whose joined text is a token is due at that
token's rank.

    merges   l o → lo, e r → er, lo w → low       ranks   lo 0, er 1, low 2
    text     l o w e r → lo w e r → lo w er → low er      also `l ow`, if `ow` were a token, would be due at rank 2

Let M be the BPE with the list, and M(s) the tokens that it makes of a text s.

1.  If M, on any text, makes a token t out of some stretch of it, then M(t) = [t], and the last merge is the same one.
    No earlier merge crosses the borders of the stretch, because borders only vanish. Each merge inside the stretch was
    the first due in the whole text, so it was the first due in the stretch. M on the stretch alone therefore does the
    same merges in the same order.
2.  So M only ever makes tokens of K = {t : M(t) = [t]}, each by exactly one pair: its last merge on its own text. Give
    each token of K that pair's place as its rank, omit all other tokens, and call the BPE with these ranks T.
3.  T(s) = M(s) for every s, because both have the same tokens after the same number of merges. Suppose that this holds
    so far. The next merge of M makes a token of K by its own pair, so it is due in T as well, at the same place.
    Suppose that another pair (a, b), whose text t is in K, is due in T. Nothing has crossed the borders of that
    stretch, so (as in 1) M on t alone reaches [a, b] too. Since M(t) = [t], it then merges (a, b): that is the pair of
    t, and it is due in M at the same place. The same pairs are due in both, so the next merge is the same.

`tiktoken` looks up a whole word before it merges. For tokens of K the result is the same as that of merging.

With `ignore_merges`, `tokenizers` looks up whole words as well, in the whole vocabulary. Then tokens outside K must
have ranks too, so `tiktoken` could make them by merging. It does not if every pair of tokens of K that spells such a
token t is in the list, all pairs are at one place (no merge for another token is between them), and t has that place as
its rank. Then the same pairs are still due in both, and M, whose next merge never makes t, has a pair due earlier. If a
pair is missing or the places differ, nothing is proven, and `tokenizers` encodes the rows.

A byte-level vocabulary spells every byte as one printable character.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from tokenizers import Tokenizer

Pair = tuple[str, str]
BEHIND_ALL = np.iinfo(np.int32).max
"""Place of tokens that no merge can make: after all others."""
NO_ID = -1
"""Id of a byte that the vocabulary lacks. `tokenizers` treats such bytes in its own way, so it encodes their rows."""


class NotProvenError(Exception):
    """Error raised if `tiktoken` is not proven to encode as `tokenizers` does; the message is the reason."""


@dataclass(frozen=True, slots=True)
class ByteBpe:
    """A byte-level BPE, given by the ranks of its tokens."""

    ranks: Mapping[bytes, int]
    """Bytes of a token → its rank, from 0 without gaps."""
    ids: npt.NDArray[np.int32]
    """[ranks] id of each token in the tokenizer; `NO_ID` for bytes that the vocabulary lacks."""


def prove_byte_bpe(model: Mapping[str, Any]) -> ByteBpe:
    """Compute the ranks with which `tiktoken` makes the same merges as a byte-level BPE.

    Args:
        model: The `model` of a `tokenizer.json`.

    Raises:
        NotProvenError: if the model is not a byte-level BPE, or `tiktoken` may make other merges.
    """
    _check_kind(model)
    vocabulary = {token: number for token, number in model["vocab"].items() if token and _BYTES.keys() >= set(token)}
    if len(set(vocabulary.values())) < len(vocabulary):
        raise NotProvenError("two tokens of the vocabulary have one id")
    merges = {pair: place for place, pair in enumerate(_pairs(model["merges"]))}
    reached = _reached(model, list(vocabulary))
    listed = _ListedMerges.of(merges, reached)
    places = {token: listed.place_of_reached(token) for token in reached}
    if model.get("ignore_merges"):
        places |= {token: listed.place_of_unreached(token) for token in vocabulary.keys() - reached}
    places |= dict.fromkeys(_BYTES, 0)
    ordered = sorted(places, key=lambda token: (len(token) > 1, places[token]))
    ranks = {spelled_bytes(token): rank for rank, token in enumerate(ordered)}
    return ByteBpe(ranks, np.array([vocabulary.get(token, NO_ID) for token in ordered], np.int32))


@dataclass(frozen=True, slots=True)
class _ListedMerges:
    """The listed merges, and among them those of pairs that can ever be adjacent."""

    merges: Mapping[Pair, int]
    """Pair → its place in the list."""
    reached: set[str]
    """K: the tokens that merging makes of their own text."""
    order: Mapping[Pair, int]
    """Pair of two tokens of K → its number among all such pairs, in the order of the list."""
    makers: Mapping[str, list[Pair]]
    """Token → the pairs of tokens of K that make it."""

    @classmethod
    def of(cls, merges: Mapping[Pair, int], reached: set[str]) -> "_ListedMerges":
        possible = [pair for pair in sorted(merges, key=merges.__getitem__) if reached.issuperset(pair)]
        makers: dict[str, list[Pair]] = defaultdict(list)
        for pair in possible:
            makers[pair[0] + pair[1]].append(pair)
        return cls(merges, reached, {pair: number for number, pair in enumerate(possible)}, makers)

    def place_of_reached(self, token: str) -> int:
        """Return the place in the list of the last merge of a token's own text; 0 for single bytes."""
        if len(token) == 1:
            return 0
        pairs = self.makers[token]
        return self.merges[pairs[0] if self._stand_together(pairs) else last_merge(token, self.merges)]

    def place_of_unreached(self, token: str) -> int:
        """Return the place of a token outside K, which only whole words become; see `ignore_merges` above.

        Raises:
            NotProvenError: if `tiktoken` might make the token by merging.
        """
        splits = ((token[:at], token[at:]) for at in range(1, len(token)))
        pairs = [pair for pair in splits if self.reached.issuperset(pair)]
        if any(pair not in self.merges for pair in pairs):
            raise NotProvenError("`ignore_merges`, and a token of the vocabulary could be merged from an unlisted pair")
        if not self._stand_together(pairs):
            raise NotProvenError("`ignore_merges`, and the merges of a token are not adjacent in the list")
        return self.merges[pairs[0]] if pairs else BEHIND_ALL

    def _stand_together(self, pairs: list[Pair]) -> bool:
        """Return True if no merge of another token is between these pairs; then their places are equivalent."""
        if len(pairs) <= 1:
            return True
        numbers = [self.order[pair] for pair in pairs]
        return max(numbers) - min(numbers) == len(numbers) - 1


def _check_kind(model: Mapping[str, Any]) -> None:
    if model.get("type") != "BPE":
        raise NotProvenError(f"the model is {model.get('type')}, not BPE")
    changes_text = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
    if used := [name for name in changes_text if model.get(name)]:
        raise NotProvenError(f"the BPE has {', '.join(used)}")


def _pairs(merges: Iterable[str | list[str]]) -> Iterator[Pair]:
    """Yield the merges as pairs. A `tokenizer.json` has lists of two, or in older files strings with one space."""
    for merge in merges:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        yield left, right


def _reached(model: Mapping[str, Any], tokens: list[str]) -> set[str]:
    """Return K: the tokens that `tokenizers` makes of their own text by merging."""
    merging = Tokenizer.from_str(
        orjson.dumps({"model": {**model, "ignore_merges": False}, "added_tokens": []}).decode()
    )
    encodings = merging.encode_batch_fast(tokens, add_special_tokens=False)
    return {token for token, encoding in zip(tokens, encodings, strict=True) if len(encoding) == 1}


def last_merge(token: str, merges: Mapping[Pair, int]) -> Pair:
    """Return the pair whose merge finishes a token, found by merging the token's characters one step at a time."""
    parts = list(token)
    while len(parts) > 2:
        due = [(merges[pair], at) for at, pair in enumerate(pairwise(parts)) if pair in merges]
        at = min(due)[1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]


def _spelling() -> dict[str, int]:
    """Return character → byte: printable Latin-1 characters represent themselves, other bytes count up from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + at): byte for at, byte in enumerate(others)}


_BYTES = _spelling()


def spelled_bytes(token: str) -> bytes:
    """Return the bytes that a token of a byte-level vocabulary represents."""
    return bytes([_BYTES[char] for char in token])
