"""Compare answers with references."""

import re


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
