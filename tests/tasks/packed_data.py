"""The stages up to packing as the flow calls them, without Prefect."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sft_core.data.accounts import ShardFiles
from sft_core.recipe import Recipe
from sft_core.recipe.inputs import locate_inputs
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from tasks.detect_formats import detect_formats
from tasks.gather_images import gather_images, shards_with_images, with_images
from tasks.home import file_digests
from tasks.ingest_sources import ingest_sources, pieces_of, shards_of
from tasks.pack_shards import pack_shards
from tasks.render_chats import render_chats
from tasks.tokenize_chats import tokenize_chats
from tasks.workers import shard_workers


@dataclass(frozen=True)
class PackedData:
    """A packed data set, and what it was made from."""

    store: ArtifactStore
    packed: ArtifactRef
    tokens: list[ArtifactRef]
    files: ShardFiles


def pack(recipe: Recipe, root: Path) -> PackedData:
    """Prepare a recipe's data in a home."""
    store = ArtifactStore(root=root)
    digests = file_digests(store)
    inputs = locate_inputs(recipe, digests)
    with shard_workers(recipe.runtime) as workers:
        here: dict[str, Any] = {"store": store, "workers": workers}
        shards = shards_of(store, inputs.sources, ingest_sources(pieces_of(inputs.sources), **here))
        records = detect_formats(recipe.formats, shards, **here)
        named = shards_with_images(store, inputs.sources, shards, records, inputs.processor, digests)
        gathered = gather_images(recipe.images, named, **here) if named else []
        examples = with_images(records, named, gathered)
        processor = inputs.processor if named else None
        limits = {"image_limits": recipe.image_row_limits if named else None, "processor": processor}
        rendered = render_chats(recipe.chat, inputs.template, inputs.tokenizer, examples, processor=processor, **here)
        tokens = tokenize_chats(recipe.tokens, recipe.row_limits, inputs.tokenizer, rendered, **limits, **here)
    files, repeats = ShardFiles.of(shards), [shard.repeat for shard in shards]
    digests = [shard.content_digest for shard in shards]
    packed = pack_shards(
        recipe.packing,
        recipe.tokens.max_length,
        tokens,
        repeats,
        digests,
        files=files.with_stages(records, examples, rendered),
        store=store,
    )
    return PackedData(store, packed, tokens, files)
