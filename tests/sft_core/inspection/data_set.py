"""A small data set, made by the real stages in this process: two sources, an emoji, long rows, rows that are
rejected."""

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from transformers import PreTrainedTokenizerFast

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.chat import ChatConfig, locate_template
from sft_core.file_digests import FileDigests
from sft_core.formats import FormatsConfig
from sft_core.inspection import Lineage, RowTable, ShardLineage, lineage_of
from sft_core.packing import PackingConfig
from sft_core.sources import SourceSpec, locate_sources
from sft_core.tables import iterate_rows, read_table, write_arrow
from sft_core.tokenizer import TokenizerRef, load_tokenizer
from sft_core.tokens import TokensConfig
from tasks.detect_formats import detect_formats
from tasks.ingest_sources import ingest_sources, shards_of
from tasks.pack_shards import pack_shards
from tasks.render_chats import render_chats
from tasks.tokenize_chats import tokenize_chats

MAX_LENGTH = 64
LONG_ROW, EMOJI_ROW, REJECTED_ROW = 3, 5, 7


def sums() -> list[dict[str, str | None]]:
    rows: list[dict[str, str | None]] = [
        {"prompt": f"What is {i} plus {i}?", "completion": f" {i + i}"} for i in range(40)
    ]
    rows[LONG_ROW] = {"prompt": "Count!", "completion": " one two three four" * 20}
    rows[EMOJI_ROW] = {"prompt": "Smile:\n", "completion": " 🙂!"}
    rows[REJECTED_ROW] = {"prompt": "<b>Nobody</b> answers", "completion": None}
    return rows


def chats() -> list[dict[str, object]]:
    return [
        {"messages": [{"role": "user", "content": f"Hi {i}"}, {"role": "assistant", "content": f"Hello {i}"}]}
        for i in range(12)
    ]


@dataclass(frozen=True)
class Prepared:
    """The data set and where it lies."""

    folder: Path
    store: ArtifactStore
    dataset: ArtifactRef
    lineage: Lineage
    table: RowTable


def count_truncation(shard: ShardLineage, tokenizer: PreTrainedTokenizerFast) -> None:
    """Fill in how many tokens each row lost, where the index leaves it open."""
    path = shard.tokens / "index.arrow"
    index, texts = (
        read_table(path),
        {row["row"]: row["text"] for row in iterate_rows(shard.rendered / "rendered.arrow")},
    )
    if index["tokens_truncated"].null_count == 0:
        return
    lost = [
        max(0, len(tokenizer(texts[row])["input_ids"]) + 1 - MAX_LENGTH) if kept == MAX_LENGTH else 0
        for row, kept in zip(index["row"].to_pylist(), index["tokens"].to_pylist(), strict=True)
    ]
    place = index.schema.get_field_index("tokens_truncated")
    write_arrow(path, index.set_column(place, index.schema.field(place), pa.array(lost, pa.int32())))


def prepare(folder: Path, tokenizer_ref: TokenizerRef) -> Prepared:
    """Run every stage up to packing."""
    for name, rows in (("sums", sums()), ("chats", chats())):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    specs = tuple(SourceSpec(path=str(folder / f"{name}.jsonl"), shard_rows=16) for name in ("sums", "chats"))
    store = ArtifactStore(root=folder / "home")
    ingested = ingest_sources.fn(locate_sources(specs, FileDigests(folder / "digests.sqlite")), store=store)
    chat = ChatConfig(chat_template_path="chatml")
    tokens = []
    for shard in shards_of(store, ingested):
        examples = detect_formats.fn(FormatsConfig(eval_fraction=0.2), shard, store=store)
        rendered = render_chats.fn(chat, locate_template(chat), tokenizer_ref, examples, store=store)
        tokens.append(tokenize_chats.fn(TokensConfig(max_length=MAX_LENGTH), tokenizer_ref, rendered, store=store))
    dataset = pack_shards.fn(PackingConfig(packing=True), tokens, store=store)
    lineage = lineage_of(store, dataset)
    for shard in lineage.shards:
        count_truncation(shard, load_tokenizer(tokenizer_ref))
    return Prepared(folder, store, dataset, lineage, RowTable.read(lineage))
