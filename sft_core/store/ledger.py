"""The ledger, which accounts for every row and every token.

Every row is trained, held out, rejected with a reason, or omitted by the recipe; every token likewise.

Each shard carries its ledger through the stages. A stage may only move rows from `rows_train` or `rows_eval` to
`rows_rejected`, so the sum holds at every stage and at the end:

    rows_in 100 = rows_train 69 + rows_eval 10 + rows_rejected 1 + rows_left_out 20
    tokens_in 5000 = tokens_train 4300 + tokens_eval 500 + tokens_truncated 180 + tokens_rejected 20

The sums are checked when a ledger is made, which is before a manifest can be written.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, model_validator

Split = Literal["train", "eval"]
EXCERPT_CHARS = 200
TokenCounts = Mapping[str, int]
"""The token fields of a `Ledger` by name."""


class Rejection(BaseModel):
    """One row that is not trained on, and the reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    row: int
    """Position in the source, from 0."""
    line: int | None
    """Line in its file, from 1; None if the file has no lines."""
    stage: str
    reason: str
    """A short phrase without values of the row, so that rejections can be counted by it."""
    excerpt: str
    """The first characters of the row."""
    file: str | None = None
    """The file in which `row` and `line` are counted, if the source has several."""

    @property
    def place(self) -> str:
        """Source, row, file and line of the rejected row, as a text."""
        within = " ".join(word for word in (self.file, f"line {self.line}" if self.line else None) if word)
        return f"{self.source} row {self.row}" + (f" ({within})" if within else "")

    @classmethod
    def of(cls, source: str, row: dict[str, Any], stage: str, reason: str, content: str) -> Self:
        """Make the rejection of a row of an intermediate table, with an excerpt of the first 200 characters."""
        excerpt = content[:EXCERPT_CHARS].encode("utf-8", "replace").decode()
        return cls(source=source, row=row["row"], line=row["line"], stage=stage, reason=reason, excerpt=excerpt)


class Ledger(BaseModel):
    """Counts of rows and tokens by what happened to them. Token counts are 0 until the rows are tokenized."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows_in: int = 0
    rows_train: int = 0
    rows_eval: int = 0
    rows_rejected: int = 0
    rows_left_out: int = 0
    """Rows that the recipe omits: those outside the share of a source, and those whose transform returned None."""
    rejected_by_reason: dict[str, int] = {}
    tokens_in: int = 0
    tokens_train: int = 0
    tokens_eval: int = 0
    tokens_truncated: int = 0
    tokens_rejected: int = 0
    targets_train: int = 0
    """Tokens of the train split that contribute to the loss, counted after the shift by one."""
    targets_eval: int = 0
    rows_truncated: int = 0

    @model_validator(mode="after")
    def _sums_hold(self) -> Self:
        rows_out = self.rows_train + self.rows_eval + self.rows_rejected + self.rows_left_out
        tokens_out = self.tokens_train + self.tokens_eval + self.tokens_truncated + self.tokens_rejected
        assert self.rows_in == rows_out, f"ledger: {self.rows_in} rows in, {rows_out} accounted for"
        assert self.tokens_in == tokens_out, f"ledger: {self.tokens_in} tokens in, {tokens_out} accounted for"
        assert self.rows_rejected == sum(self.rejected_by_reason.values()), "ledger: rejections without a reason"
        return self

    @classmethod
    def total(cls, ledgers: Iterable["Ledger"]) -> Self:
        """Add ledgers up, field by field."""
        sums: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        for ledger in ledgers:
            sums.update(ledger.model_dump(exclude={"rejected_by_reason"}))
            reasons.update(ledger.rejected_by_reason)
        return cls(**sums, rejected_by_reason=dict(sorted(reasons.items())))

    def rejecting(
        self, splits: Iterable[str], reasons: Mapping[str, int], tokens: "TokenCounts | None" = None
    ) -> "Ledger":
        """Return a ledger in which more rows are moved from their splits to the rejected ones.

        Args:
            splits: The split of each newly rejected row.
            reasons: Number of newly rejected rows by reason.
            tokens: Token counts of all rows, once they are known.
        """
        by_split = Counter(splits)
        moved = {
            "rows_train": self.rows_train - by_split["train"],
            "rows_eval": self.rows_eval - by_split["eval"],
            "rows_rejected": self.rows_rejected + by_split.total(),
            "rejected_by_reason": dict(Counter(self.rejected_by_reason) + Counter(reasons)),
        }
        return Ledger(**{**self.model_dump(), **moved, **(tokens or {})})

    def flat(self) -> dict[str, Any]:
        """Return all counts under the names that reports use, for example `rows_held_out` for `rows_eval`."""
        return {
            "rows_in": self.rows_in,
            "rows_trained": self.rows_train,
            "rows_held_out": self.rows_eval,
            "rows_rejected": self.rows_rejected,
            "rows_left_out": self.rows_left_out,
            "rejected_by_reason": self.rejected_by_reason,
            "tokens_in": self.tokens_in,
            "tokens_trained": self.tokens_train,
            "tokens_held_out": self.tokens_eval,
            "tokens_truncated": self.tokens_truncated,
            "tokens_rejected": self.tokens_rejected,
            "rows_truncated": self.rows_truncated,
            "targets_trained": self.targets_train,
            "targets_held_out": self.targets_eval,
        }


def count_reasons(rejections: Iterable[Rejection]) -> dict[str, int]:
    """Count rejections by reason, most frequent first."""
    return dict(Counter(rejection.reason for rejection in rejections).most_common())


def write_rejections(path: Path, rejections: Iterable[Rejection]) -> None:
    """Write `rejected.jsonl`, with one rejected row per line."""
    with path.open("wb") as file:
        for rejection in rejections:
            file.write(orjson.dumps(rejection.model_dump(), option=orjson.OPT_APPEND_NEWLINE))


def read_rejections(path: Path) -> list[Rejection]:
    """Read a file that `write_rejections` wrote."""
    return [Rejection(**orjson.loads(line)) for line in path.read_bytes().splitlines()]
