"""Measures of one answer against its reference, in plain Python."""

import re
import string
from collections import Counter
from collections.abc import Sequence


def answer_of(text: str, pattern: str | None) -> str | None:
    """Return what is to be compared: the stripped text, or the first group of the pattern's last match (None if there
    is none)."""
    if pattern is None:
        return text.strip()
    matches = list(re.finditer(pattern, text))
    return (matches[-1].group(1) or "").strip() if matches else None


def is_exact_match(output: str, reference: str, pattern: str | None) -> bool:
    """Whether the answers are the same text; an output without an answer is never right."""
    answer = answer_of(output, pattern)
    return answer is not None and answer == answer_of(reference, pattern)


def is_prefix_match(output: str, reference: str) -> bool:
    """Whether the output begins with the reference; white space around either does not count."""
    return output.strip().startswith(reference.strip())


def token_f1(output: str, reference: str) -> float:
    """Return the harmonic mean of precision and recall of words, as in SQuAD's official script.

    Words are what white space parts after lower-casing, without punctuation and articles (Rajpurkar et al. 2016,
    section 6.1). Where one side has no word left, it is 1 if the other has none either, else 0 (as for SQuAD 2.0).
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
    """Cut a text at the first place where one of the sequences begins, and take the white space off that then trails,
    as trlX does; a text without any of them stays as it is."""
    places = [place for stop in stop_sequences if (place := text.find(stop)) >= 0]
    return text[: min(places)].rstrip() if places else text
