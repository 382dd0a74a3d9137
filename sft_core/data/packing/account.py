"""Record the rows that packing omits in the ledger and in `rejected.jsonl`, each with a reason."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from sft_core.data.packing.choose import Choice
from sft_core.data.token_rows import TokenRows
from sft_core.store.ledger import Ledger, Rejection
from sft_core.store.ragged import IntArray
from sft_core.store.records import TOKENS
from sft_core.store.stages import PACK_SHARDS
from sft_core.store.tables import read_columns

DUPLICATE = "exact duplicate of an earlier row"
LEFT_OUT = "left out by a `repeat` below 1"


def without_left_out(ledger: Ledger, rows: TokenRows, choices: Mapping[str, Choice]) -> Ledger:
    """Return a ledger that counts the omitted rows and their tokens as rejected, and no longer in their split.

    Args:
        ledger: The ledger of all shards.
        rows: All rows.
        choices: Split → its choice.
    """
    moved: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    splits: list[str] = []
    for split, choice in choices.items():
        gone = np.concatenate([choice.dropped, choice.left_out])
        tokens, targets = int(rows.tokens[gone].sum()), int(rows.targets[gone].sum())
        moved.update({f"tokens_{split}": -tokens, f"targets_{split}": -targets, "tokens_rejected": tokens})
        reasons.update({DUPLICATE: len(choice.dropped), LEFT_OUT: len(choice.left_out)})
        splits += [split] * len(gone)
    counts = {name: getattr(ledger, name) + change for name, change in moved.items()}
    return ledger.rejecting(splits, +reasons, counts)


def rejections_of_choice(rows: TokenRows, choice: Choice, files: Sequence[str] | None = None) -> Iterator[Rejection]:
    """Yield the omitted rows of a split: first duplicates, then those that `repeat` omits, each in order.

    Args:
        rows: All rows.
        choice: The choice of the split.
        files: [parts] source file of each part; None if rejections are not to name files.
    """
    equals = {
        row: f"equal to row {rows.row[first]} of {rows.source_of(first)}" + (f", {file}" if file else "")
        for row, first, file in zip(
            choice.dropped.tolist(), choice.earlier.tolist(), _files_of(rows, choice.earlier, files), strict=True
        )
    }
    for gone, reason in ((choice.dropped, DUPLICATE), (choice.left_out, LEFT_OUT)):
        shard_of_row = rows.shard_of(gone)
        for shard in np.unique(shard_of_row).tolist():
            lines = read_columns(rows.files[shard], TOKENS, ["line"])["line"]
            own = gone[shard_of_row == shard]
            for row, file in zip(own.tolist(), _files_of(rows, own, files), strict=True):
                yield Rejection(
                    source=rows.sources[shard],
                    row=int(rows.row[row]),
                    line=lines[row - int(rows.offsets[shard])].as_py(),
                    stage=PACK_SHARDS,
                    reason=reason,
                    excerpt=equals.get(row, ""),
                    file=file,
                )


def _files_of(rows: TokenRows, chosen: IntArray, files: Sequence[str] | None) -> list[str | None]:
    return [None] * len(chosen) if files is None else [files[part] for part in rows.part_of(chosen).tolist()]
