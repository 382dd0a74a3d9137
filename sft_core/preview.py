"""Show tokenized rows as people can read them: which part is context, which is trained."""

import itertools
from dataclasses import dataclass
from pathlib import Path

from sft_core.tables import iterate_rows
from sft_core.tokenizer import TokenizerRef, load_tokenizer


@dataclass(frozen=True, slots=True)
class RowPreview:
    """One tokenized row, cut where the mask changes."""

    row: int
    split: str
    num_tokens: int
    num_trained: int
    parts: tuple[tuple[str, bool], ...]
    """(text, whether the loss looks at it), in order."""


def preview_rows(tokens: Path, tokenizer: TokenizerRef, num_rows: int) -> list[RowPreview]:
    """Decode the first rows of a shard.

    Args:
        tokens: A `tokens.arrow` file.
        tokenizer: Decodes them.
        num_rows: At most so many.
    """
    decode = load_tokenizer(tokenizer).decode
    previews = []
    for row in itertools.islice(iterate_rows(tokens), num_rows):
        pairs = zip(row["input_ids"], row["loss_mask"], strict=True)
        runs = [
            (is_trained, [token for token, _ in run])
            for is_trained, run in itertools.groupby(pairs, key=lambda pair: pair[1])
        ]
        parts = tuple((decode(ids), bool(is_trained)) for is_trained, ids in runs)
        previews.append(RowPreview(row["row"], row["split"], len(row["input_ids"]), sum(row["loss_mask"]), parts))
    return previews
