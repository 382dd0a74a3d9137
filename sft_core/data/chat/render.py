"""Render every example of a shard to one text with the spans that the loss covers."""

from pathlib import Path

import orjson
import pyarrow as pa

from sft_core.data.chat.config import ChatConfig
from sft_core.data.chat.rows import RenderedRow, RowRenderer
from sft_core.data.chat.template import ChatTemplate, TemplateRefusedError
from sft_core.pretrained.processor import ImageTokens
from sft_core.store.ledger import Ledger, Rejection, count_reasons, read_rejections, write_rejections
from sft_core.store.records import RENDERED, StageOutcome
from sft_core.store.stages import RENDER_CHATS
from sft_core.store.tables import read_table, write_arrow


def render(
    config: ChatConfig,
    template: ChatTemplate | None,
    source: str,
    examples: Path,
    ledger: Ledger,
    folder: Path,
    *,
    image_tokens: ImageTokens | None = None,
) -> StageOutcome:
    """Render a shard's examples, and write `rendered.arrow` and `rejected.jsonl` into `folder`.

    Args:
        config: The recipe's `chat` section.
        template: The chat template, or None if neither the tokenizer nor the recipe has one.
        source: Name of the source, for rejections.
        examples: Folder with `examples.arrow` and with the `rejected.jsonl` of the stages before.
        ledger: The shard's ledger of the stages before.
        folder: Output folder.
        image_tokens: Tokens that represent images; None if the run has no images, or the model takes none.

    Raises:
        RecipeError: if the shard has conversations and there is no template.
    """
    table = read_table(examples / "examples.arrow")
    renderer = RowRenderer(config, template, source, image_tokens)
    rendered: list[RenderedRow] = []
    kept: list[int] = []
    rejected: dict[int, str] = {}
    splits = table["split"].to_pylist()
    columns = (table["example"].to_pylist(), splits, table["images"].to_pylist())
    for index, (example, split, images) in enumerate(zip(*columns, strict=True)):
        try:
            num_images = len(orjson.loads(images)) if images else 0
            rendered.append(renderer.render(example, is_held_out=split == "eval", num_images=num_images))
            kept.append(index)
        except TemplateRefusedError as error:
            rejected[index] = str(error)
    rejections = [_reject(table.slice(index, 1), source, reason) for index, reason in rejected.items()]
    examples_kept = table.take(pa.array(kept, pa.int64())) if rejected else table
    write_arrow(folder / "rendered.arrow", _table(examples_kept, rendered))
    write_rejections(folder / "rejected.jsonl", [*read_rejections(examples / "rejected.jsonl"), *rejections])
    ledger = ledger.rejecting((splits[index] for index in rejected), count_reasons(rejections))
    return StageOutcome(ledger=ledger, facts={"source": source})


def _reject(row: pa.Table, source: str, reason: str) -> Rejection:
    (fields,) = row.to_pylist()
    return Rejection.of(source, fields, RENDER_CHATS, reason, fields["example"])


def _table(examples: pa.Table, rendered: list[RenderedRow]) -> pa.Table:
    """Combine the columns rendered here with those taken over from the examples."""
    made = dict(zip(RenderedRow._fields, zip(*rendered, strict=True), strict=False))
    columns = [
        pa.array(made.get(field.name, ()), type=field.type)
        if field.name in RenderedRow._fields
        else examples[field.name]
        for field in RENDERED
    ]
    return pa.table(columns, schema=RENDERED)
