"""Metrics that compare one answer with its reference, in plain Python."""

import re
import string
from collections import Counter
from collections.abc import Sequence


def answer_of(text: str, pattern: str | None) -> str | None:
    """Return the text to compare: the stripped text, or the first group of the pattern's last match (None without a
    match)."""
    if pattern is None:
        return text.strip()
    matches = list(re.finditer(pattern, text))
    return (matches[-1].group(1) or "").strip() if matches else None


def is_exact_match(output: str, reference: str, pattern: str | None) -> bool:
    """Return True if output and reference have the same answer; an output without an answer is never right."""
    answer = answer_of(output, pattern)
    return answer is not None and answer == answer_of(reference, pattern)


def is_prefix_match(output: str, reference: str) -> bool:
    """Return True if the output begins with the reference; white space around them is ignored."""
    return output.strip().startswith(reference.strip())


def token_f1(output: str, reference: str) -> float:
    """Return the harmonic mean of precision and recall of words, as in SQuAD's official script.

    Words are separated by white space, after lower-casing and without punctuation and articles (Rajpurkar et al. 2016,
    section 6.1). If one side has no word left, F1 is 1 if the other has no word either, else 0 (as for SQuAD 2.0).
    """
    found, expected = words_of(output), words_of(reference)
    if not found or not expected:
        return float(found == expected)
    shared = (Counter(found) & Counter(expected)).total()
    return 2 * shared / (len(found) + len(expected))


def words_of(text: str) -> list[str]:
    """Split a text as SQuAD does: lower case, no ASCII punctuation, no English articles."""
    plain = text.lower().translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


def cut_at(text: str, stop_sequences: Sequence[str]) -> str:
    """Cut a text where the first of the sequences begins, and remove trailing white space, as trlX does.

    A text without any of the sequences is not changed.
    """
    places = [place for stop in stop_sequences if (place := text.find(stop)) >= 0]
    return text[: min(places)].rstrip() if places else text
