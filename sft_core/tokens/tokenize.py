"""Tokenize every row of a shard."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sft_core.ledger import Ledger, Rejection, count_reasons, read_rejections, write_rejections
from sft_core.records import INDEX, TOKENS, StageOutcome
from sft_core.tables import read_table, write_table
from sft_core.tokenizer import TokenizerRef
from sft_core.tokens.config import TokensConfig
from sft_core.tokens.encode import Encoder, MaskedTokens, encoder_of

STAGE = "tokenize_chats"
BATCH_ROWS = 512
NO_TARGET = "no token is a target of the loss"
CUT_TARGETS = "truncation to `max_length` leaves no target of the loss"


def tokenize(
    config: TokensConfig, tokenizer: TokenizerRef, source: str, rendered: Path, ledger: Ledger, folder: Path
) -> StageOutcome:
    """Read a shard's rendered rows; write `tokens.arrow`, `index.arrow` and `rejected.jsonl` into `folder`.

    Args:
        config: The `tokens` section.
        tokenizer: Which tokenizer.
        source: Name of the source, for rejections.
        rendered: Folder with `rendered.arrow` and the `rejected.jsonl` so far.
        ledger: The shard's ledger so far.
        folder: Where to write.
    """
    encoder = encoder_of(tokenizer)
    kept: list[dict[str, Any]] = []
    rejections: list[Rejection] = []
    rejected_splits: list[str] = []
    counts: Counter[str] = Counter()
    for row, whole in _encode_rows(encoder, rendered / "rendered.arrow"):
        tokens = whole.cut(config.max_length)
        counts["tokens_in"] += len(whole.input_ids)
        if tokens.num_targets == 0:
            reason = CUT_TARGETS if whole.num_targets else NO_TARGET
            counts["tokens_rejected"] += len(whole.input_ids)
            rejections.append(Rejection.of(source, row, STAGE, reason, row["text"]))
            rejected_splits.append(row["split"])
            continue
        _count(counts, row["split"], whole, tokens)
        kept.append({**row, "input_ids": tokens.input_ids, "loss_mask": tokens.loss_mask})
    _encode_prompts(encoder, kept)
    write_table(folder / "tokens.arrow", TOKENS, kept)
    write_table(folder / "index.arrow", INDEX, [_index_entry(row) for row in kept])
    write_rejections(folder / "rejected.jsonl", [*read_rejections(rendered / "rejected.jsonl"), *rejections])
    ledger = ledger.rejecting(rejected_splits, count_reasons(rejections), counts)
    return StageOutcome(ledger=ledger, facts={"source": source, "max_length": config.max_length})


def _encode_rows(encoder: Encoder, path: Path) -> Iterator[tuple[dict[str, Any], MaskedTokens]]:
    """Yield each rendered row with its tokens, in order; rows of one kind that stand together are encoded together."""
    for batch in read_table(path).to_batches(max_chunksize=BATCH_ROWS):
        rows = batch.to_pylist()
        encoded: dict[int, MaskedTokens] = {}
        for wants in (False, True):
            indices = [index for index, row in enumerate(rows) if row["wants_special_tokens"] is wants]
            texts, spans = [rows[i]["text"] for i in indices], [rows[i]["spans"] for i in indices]
            encoded.update(zip(indices, encoder.encode(texts, spans, wants), strict=True))
        yield from ((row, encoded[index]) for index, row in enumerate(rows))


def _encode_prompts(encoder: Encoder, rows: list[dict[str, Any]]) -> None:
    """Give held-out rows with an answer the token ids to generate from."""
    for wants in (False, True):
        asked = [row for row in rows if row["prompt"] is not None and row["wants_special_tokens"] is wants]
        for row, ids in zip(asked, encoder.encode_prompts([row["prompt"] for row in asked], wants), strict=True):
            row["prompt_ids"] = ids


def _index_entry(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "tokens": len(row["input_ids"]), "targets": sum(row["loss_mask"][1:])}


def _count(counts: Counter[str], split: str, whole: MaskedTokens, tokens: MaskedTokens) -> None:
    cut = len(whole.input_ids) - len(tokens.input_ids)
    counts[f"tokens_{split}"] += len(tokens.input_ids)
    counts[f"targets_{split}"] += tokens.num_targets
    counts["tokens_truncated"] += cut
    counts["rows_truncated"] += int(cut > 0)
