"""The stages up to packing as the flow calls them, without Prefect."""

from dataclasses import dataclass
from pathlib import Path

from sft_core.data.accounts import Origins, ShardFiles
from sft_core.recipe import Recipe
from sft_core.recipe.inputs import locate_inputs
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from tasks.detect_formats import detect_formats
from tasks.gather_images import examples_with_images
from tasks.home import file_digests
from tasks.ingest_sources import ingest_sources, pieces_of, shards_of
from tasks.pack_shards import pack_shards
from tasks.render_chats import render_chats
from tasks.stages.run_context import RunContext
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
    inputs = locate_inputs(recipe, file_digests(store))
    with shard_workers(recipe.runtime) as workers:
        context = RunContext(store, workers)
        shards = shards_of(store, inputs.sources, ingest_sources(pieces_of(inputs.sources), context))
        records = detect_formats(recipe.formats, shards, context)
        examples, gathered = examples_with_images(recipe.images, inputs, shards, records, context)
        reader, limits = inputs.reader(bool(gathered)), recipe.limits(bool(gathered))
        rendered = render_chats(recipe.chat, inputs.template, reader, examples, context)
        tokens = tokenize_chats(recipe.tokens, limits, reader, rendered, context)
    origins = Origins.of(shards, records, examples, rendered)
    packed = pack_shards(recipe.packing, recipe.tokens.max_length, tokens, origins, context)
    return PackedData(store, packed, tokens, ShardFiles.of(shards))
