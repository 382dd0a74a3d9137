"""Tell the format of every row of a shard, and split the shard into examples and rejections."""

from collections import Counter
from pathlib import Path
from typing import Any

import orjson

from sft_core.formats.config import FormatsConfig
from sft_core.formats.dialects import DIALECTS, Dialect, Fields, RowRejectedError
from sft_core.formats.split import split_of
from sft_core.ledger import Ledger, Rejection, count_reasons, write_rejections
from sft_core.records import EXAMPLES, Example, ShardRef, StageOutcome
from sft_core.tables import iterate_rows, write_table

STAGE = "detect_formats"


def detect(config: FormatsConfig, shard: ShardRef, records: Path, folder: Path) -> StageOutcome:
    """Read a shard's records; write `examples.arrow` and `rejected.jsonl` into `folder`.

    Args:
        config: The `formats` section.
        shard: Which shard it is.
        records: Its Arrow file (`RECORDS`).
        folder: Where to write.
    """
    examples: list[dict[str, Any]] = []
    rejections: list[Rejection] = []
    for row in iterate_rows(records):
        try:
            examples.append(_detect_row(config, shard, row))
        except RowRejectedError as error:
            rejections.append(Rejection.of(shard.source, row, STAGE, str(error), row["record"]))
    write_table(folder / "examples.arrow", EXAMPLES, examples)
    write_rejections(folder / "rejected.jsonl", rejections)
    splits = Counter(example["split"] for example in examples)
    ledger = Ledger(
        rows_in=len(examples) + len(rejections),
        rows_train=splits["train"],
        rows_eval=splits["eval"],
        rows_rejected=len(rejections),
        rejected_by_reason=count_reasons(rejections),
    )
    verdict = dict(Counter(example["format"] for example in examples).most_common())
    return StageOutcome(ledger=ledger, facts={"source": shard.source, "formats": verdict})


def example_from_row(fields: Fields, config: FormatsConfig) -> tuple[Dialect, Example]:
    """Tell one row's format and read it.

    Raises:
        RowRejectedError: with a reason that many rows can share.
    """
    present = {name: value for name, value in fields.items() if value is not None}
    if config.dataset_text_field != "text" and config.dataset_text_field in present:
        present["text"] = present.pop(config.dataset_text_field)
    allowed = [dialect for dialect in DIALECTS if config.dataset_format in ("auto", dialect.name)]
    for dialect in allowed:
        if dialect.claims(present):
            return dialect, dialect.convert(present)
    raise RowRejectedError(_why_unclaimed(fields, present, allowed))


def _why_unclaimed(fields: Fields, present: Fields, allowed: list[Dialect]) -> str:
    for dialect in allowed:
        empty = sorted(dialect.required - present.keys())
        if dialect.required <= fields.keys() or len(empty) < len(dialect.required):
            kind = "null" if set(empty) <= fields.keys() else "missing"
            return f"{_quoted(empty)} {'is' if len(empty) == 1 else 'are'} {kind}, needed for {dialect.name}"
    if len(allowed) == 1:
        return f"not {allowed[0].name}: expected {_quoted(sorted(allowed[0].required))}"
    return f"columns {_quoted(sorted(fields)) or '(none)'} fit no known format"


def _quoted(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _detect_row(config: FormatsConfig, shard: ShardRef, row: dict[str, Any]) -> dict[str, Any]:
    fields = orjson.loads(row["record"])
    if not isinstance(fields, dict):
        raise RowRejectedError("the row is not an object of columns")
    dialect, example = example_from_row(fields, config)
    return {
        "row": row["row"],
        "line": row["line"],
        "split": shard.split or split_of(example, config.eval_fraction, config.split_seed),
        "format": dialect.name,
        "example": orjson.dumps(example).decode(),
    }


def describe_verdict(formats: dict[str, int], rows_rejected: int) -> str:
    """Say in words what a source was taken for and why."""
    descriptions = {dialect.name: dialect.description for dialect in DIALECTS}
    found = [
        f"{rows:,} rows are {name} ({descriptions[name]})"
        for name, rows in sorted(formats.items(), key=lambda kv: -kv[1])
    ]
    return "; ".join([*found, *([f"{rows_rejected:,} rows rejected"] if rows_rejected else [])]) or "no rows"
