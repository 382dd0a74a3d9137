"""Tokenize every row of a shard."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sft_core.data.tokens.arrow_rows import index_table, tokens_table
from sft_core.data.tokens.audit import RowAudit
from sft_core.data.tokens.config import TokensConfig
from sft_core.data.tokens.encode import encoder_of
from sft_core.data.tokens.encode_table import WholeRows, encode_prompts, encode_table
from sft_core.data.tokens.images import are_shown_otherwise, images_after_cut
from sft_core.data.tokens.rows import Bools, Ints
from sft_core.data.tokens.truncate import Cut, cut_rows
from sft_core.pretrained.processor import ImageTokens
from sft_core.pretrained.tokenizer import FrozenTokenizer, TokenizerRef
from sft_core.store.ledger import Ledger, Rejection, count_reasons, read_rejections, write_rejections
from sft_core.store.records import StageOutcome
from sft_core.store.stages import TOKENIZE_CHATS
from sft_core.store.tables import read_table, write_arrow

UNEQUAL_MASK = "`input_ids` and the mask of its targets are not equally long"
UNKNOWN_IDS = "a token id is not in the tokenizer's vocabulary"
REFUSED_IMAGES = "the model's image processor refuses an image of this size"
OTHER_IMAGES = "the row's text has not the tokens that its images take"
NO_TARGET = "no token is a target of the loss"
TOO_LONG = "longer than `max_length`, and `truncation_mode` is drop"
CUT_IMAGES = "truncation leaves images that take other tokens without those that it cuts away"
CUT_TARGETS = "truncation to `max_length` leaves no target of the loss"
NO_LIMIT = np.iinfo(np.int64).max
EXCERPT_IDS = 50

Texts = npt.NDArray[np.object_]


def tokenize(
    config: TokensConfig,
    tokenizer: TokenizerRef | FrozenTokenizer,
    source: str,
    rendered: Path,
    ledger: Ledger,
    folder: Path,
    *,
    limits: Mapping[str, int | None] | None = None,
    image_limits: Mapping[str, int | None] | None = None,
    image_tokens: ImageTokens | None = None,
    threads: int = 1,
) -> StageOutcome:
    """Tokenize a shard's rendered rows; write `tokens.arrow`, `index.arrow` and `rejected.jsonl` into `folder`.

    Args:
        config: The recipe's `tokens` section.
        tokenizer: The tokenizer.
        source: Name of the source, for rejections.
        rendered: Folder with `rendered.arrow` and with the `rejected.jsonl` of the stages before.
        ledger: The shard's ledger of the stages before.
        folder: Output folder.
        limits: Split → maximum number of tokens of its rows; None if packing cuts longer rows into blocks. By default
            `max_length` for every split.
        image_limits: The same for rows with images; by default `max_length_with_images`.
        image_tokens: Tokens that represent images in texts; None if the run has no images.
        threads: Number of encoding threads; it does not change the result.

    Raises:
        RecipeError: if `eos_token` is not in the vocabulary.
    """
    encoder = encoder_of(tokenizer, config.eos_token)
    table = read_table(rendered / "rendered.arrow").combine_chunks()
    splits = np.array(table["split"].to_pylist(), object)
    with_literals = not config.allow_special_tokens_in_content

    if image_tokens:
        encoder = encoder.showing(image_tokens)

    whole = encode_table(encoder, table, with_literals, threads, image_tokens)
    row_limits = np.where(
        table["images"].is_valid().to_numpy(),
        _row_limits(config.max_length_with_images, splits, image_limits),
        _row_limits(config.max_length, splits, limits),
    )
    cut = cut_rows(config, whole.rows, row_limits, encoder.is_stop)
    is_cut = cut.num_tokens > 0
    is_shown_otherwise = are_shown_otherwise(image_tokens, table["images"], cut.rows, is_cut)
    reasons = _reasons(whole, cut, is_cut & (config.truncation_mode == "drop"), is_shown_otherwise)
    is_kept = reasons == ""
    kept, kept_table = cut.gather(np.flatnonzero(is_kept)), table.filter(pa.array(is_kept))

    audit = RowAudit.of(encoder, kept)
    prompts, prompts_engine = encode_prompts(encoder, kept_table, with_literals, threads, image_tokens)
    images = images_after_cut(kept_table["images"], kept.rows, kept.num_tokens > 0)
    write_arrow(folder / "tokens.arrow", tokens_table(kept_table, kept.rows, prompts, images))
    write_arrow(folder / "index.arrow", index_table(kept_table, audit.columns()))
    rejections = _rejections(source, table, reasons)
    write_rejections(folder / "rejected.jsonl", [*read_rejections(rendered / "rejected.jsonl"), *rejections])
    counts = {"tokens_in": len(whole.rows.input_ids), **_token_counts(audit, splits[is_kept])}
    counts["tokens_rejected"] = int(whole.rows.lengths[~is_kept].sum())
    facts = {
        "source": source,
        "max_length": config.max_length,
        "encoder": asdict(whole.engine) | {"reason": whole.engine.reason or prompts_engine.reason},
        "audit": audit.counts(),
    }
    return StageOutcome(ledger.rejecting(splits[~is_kept], count_reasons(rejections), counts), facts)


def _row_limits(max_length: int | None, splits: Texts, limits: Mapping[str, int | None] | None) -> Ints:
    limits = dict.fromkeys(("train", "eval"), max_length) if limits is None else limits
    by_split = {split: NO_LIMIT if limit is None else limit for split, limit in limits.items()}
    return np.array([by_split[split] for split in splits], np.int64)


def _reasons(whole: WholeRows, cut: Cut, is_too_long: Bools, is_shown_otherwise: Bools) -> Texts:
    """[rows] Return the first reason for rejection that applies; empty for rows that are kept."""
    holds = {
        UNEQUAL_MASK: whole.has_unequal_mask,
        UNKNOWN_IDS: whole.has_unknown_ids,
        REFUSED_IMAGES: whole.has_refused_images,
        OTHER_IMAGES: whole.has_other_images,
        NO_TARGET: whole.rows.num_targets == 0,
        TOO_LONG: is_too_long,
        CUT_TARGETS: cut.rows.num_targets == 0,
        CUT_IMAGES: is_shown_otherwise,
    }
    return np.select(list(holds.values()), [np.array(reason, object) for reason in holds], np.array("", object))


def _rejections(source: str, table: pa.Table, reasons: Texts) -> list[Rejection]:
    is_rejected = reasons != ""
    rows = table.filter(pa.array(is_rejected)).select(["row", "line", "text", "input_ids"]).to_pylist()
    return [
        Rejection.of(source, row, TOKENIZE_CHATS, reason, _excerpt(row))
        for row, reason in zip(rows, reasons[is_rejected], strict=True)
    ]


def _excerpt(row: dict[str, Any]) -> str:
    return row["text"] if row["input_ids"] is None else " ".join(map(str, row["input_ids"][:EXCERPT_IDS]))


def _token_counts(audit: RowAudit, splits: Texts) -> dict[str, int]:
    counts = {
        f"{name}_{split}": int(values[splits == split].sum())
        for name, values in (("tokens", audit.tokens), ("targets", audit.targets))
        for split in ("train", "eval")
    }
    return {
        **counts,
        "tokens_truncated": int(audit.tokens_truncated.sum()),
        "rows_truncated": int((audit.tokens_truncated > 0).sum()),
    }
