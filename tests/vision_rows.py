"""Rows with images, taken from EXAMPLES through the rooms that make tokens of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from sft_core.data.chat import ChatConfig, chat_template_of, locate_template, render
from sft_core.data.tokens import TokensConfig, tokenize
from sft_core.pretrained.model import ModelConfig
from sft_core.pretrained.processor import ProcessorRef, image_tokens_of, locate_processor
from sft_core.pretrained.tokenizer import TokenizerRef, locate_tokenizer
from sft_core.store.file_digests import FileDigests
from sft_core.store.image_store import ImageRef, ImageStore, encode_images
from sft_core.store.ledger import Ledger, Rejection, read_rejections, write_rejections
from sft_core.store.records import EXAMPLES, Conversation, Example
from sft_core.store.tables import iterate_rows, write_table

Row = dict[str, Any]
IMAGE = {"type": "image"}


@dataclass(frozen=True, slots=True)
class Model:
    """A saved family."""

    tokenizer: TokenizerRef
    processor: ProcessorRef


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a shard."""

    rendered: list[Row]
    tokens: list[Row]
    index: list[Row]
    rejections: list[Rejection]
    ledger: Ledger
    facts: dict[str, Any]


def model_in(folder: Path) -> Model:
    """Find tokenizer and processor in a folder."""
    with_digests = FileDigests(folder / "digests.sqlite")
    config = ModelConfig.model_validate({"init": "config", "config": {"model_type": "llama"}, "tokenizer": str(folder)})
    tokenizer = locate_tokenizer(config, with_digests)
    processor = locate_processor(tokenizer, with_digests)
    assert processor is not None
    return Model(tokenizer, processor)


def text(words: str) -> Row:
    """A part of text."""
    return {"type": "text", "text": words}


def said(role: str, *content: str | Row) -> Row:
    """A message: a text, or parts."""
    parts = [text(part) if isinstance(part, str) else part for part in content]
    return {"role": role, "content": content[0] if len(content) == 1 and isinstance(content[0], str) else parts}


def asked(*content: str | Row, answer: str = "A cat.") -> Conversation:
    """One question and its answer."""
    return Conversation((said("user", *content), said("assistant", answer)))


def blank(*sizes: tuple[int, int]) -> list[ImageRef]:
    """References to images of these sizes (height, width) that are nowhere."""
    return [ImageRef(f"{number:032x}", width, height) for number, (height, width) in enumerate(sizes)]


def kept(store: ImageStore, images: Sequence[Any]) -> list[ImageRef]:
    """Put images into a store, without loss."""
    import io

    refs = []
    for image in images:
        file = io.BytesIO()
        image.save(file, "PNG")
        refs.append(ImageRef(store.put(file.getvalue()), image.width, image.height))
    return refs


def make(
    folder: Path,
    model: Model,
    rows: Sequence[tuple[Example, Sequence[ImageRef]]],
    *,
    split: str = "train",
    chat: dict[str, Any] | None = None,
    tokens: dict[str, Any] | None = None,
    image_limits: dict[str, int | None] | None = None,
) -> Made:
    """Render and tokenize rows, numbered from 0."""
    for name in ("examples", "rendered", "tokens"):
        (folder / name).mkdir(parents=True)
    table = [
        {
            "row": number,
            "line": None,
            "split": split,
            "format": "any",
            "example": orjson.dumps(example).decode(),
            "images": encode_images(images).decode() if images else None,
        }
        for number, (example, images) in enumerate(rows)
    ]
    write_table(folder / "examples" / "examples.arrow", EXAMPLES, table)
    write_rejections(folder / "examples" / "rejected.jsonl", [])
    config, image_tokens = ChatConfig(**(chat or {})), image_tokens_of(model.processor)
    template = chat_template_of(config, locate_template(config), model.tokenizer, image_tokens)
    ledger = Ledger(rows_in=len(rows), **{f"rows_{split}": len(rows)})
    told = render(config, template, "s", folder / "examples", ledger, folder / "rendered", image_tokens=image_tokens)
    outcome = tokenize(
        TokensConfig(**(tokens or {})),
        model.tokenizer,
        "s",
        folder / "rendered",
        told.ledger or Ledger(),
        folder / "tokens",
        image_limits=image_limits,
        image_tokens=image_tokens,
    )
    return Made(
        list(iterate_rows(folder / "rendered" / "rendered.arrow")),
        list(iterate_rows(folder / "tokens" / "tokens.arrow")),
        list(iterate_rows(folder / "tokens" / "index.arrow")),
        list(read_rejections(folder / "tokens" / "rejected.jsonl")),
        outcome.ledger or Ledger(),
        outcome.facts or {},
    )
