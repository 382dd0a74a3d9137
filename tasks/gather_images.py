"""Bring the images of a shard's rows into the home; shards whose rows have none do not come here."""

from collections.abc import Sequence
from pathlib import Path

from sft_core.data.images import ImageFolder, ImagesConfig, NamedImages, gather, name_images
from sft_core.data.sources import LocatedSource
from sft_core.errors import RecipeError
from sft_core.pretrained.processor import ProcessorRef
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.store.file_digests import FileDigests, Remembered
from sft_core.store.image_store import ImageStore
from sft_core.store.ledger import Ledger
from sft_core.store.records import ShardRef
from tasks.stages import stage
from tasks.workers import ShardWorkers, Work


@stage(per="named")
def gather_images(
    config: ImagesConfig, named: Sequence[NamedImages], *, store: ArtifactStore, workers: ShardWorkers
) -> list[Work]:
    """Check and keep the images of shards, and refer to them by content."""
    images, works = ImageStore.below(store.root), []
    for shard in named:
        manifest = store.manifest(shard.examples)
        source, ledger, examples = manifest.facts["source"], manifest.ledger or Ledger(), store.path(shard.examples)
        works.append(Work(gather, (config, shard, source, examples, ledger, images)))
    return works


def shards_with_images(
    store: ArtifactStore,
    sources: Sequence[LocatedSource],
    shards: Sequence[ShardRef],
    detected: Sequence[ArtifactRef],
    processor: ProcessorRef | None,
    digests: FileDigests,
) -> list[NamedImages]:
    """Find the shards whose rows have images, and the files that these name.

    Raises:
        RecipeError: if there are any, and the model shows none.
    """
    folders = {source.name: source.image_folders for source in sources}
    with digests.together() as known:
        return [
            _name(store, shard, ref, folders[shard.source], known)
            for shard, ref in zip(shards, detected, strict=True)
            if _has_images(store, ref, processor)
        ]


def with_images(
    detected: Sequence[ArtifactRef], named: Sequence[NamedImages], gathered: Sequence[ArtifactRef]
) -> list[ArtifactRef]:
    """The examples of all shards, in order: with their images gathered where they have some.

    Shards are told by their order: equal rows in two folders are one artifact, and name other images in each.
    """
    have_images, waiting = {shard.examples for shard in named}, iter(gathered)
    return [next(waiting) if ref in have_images else ref for ref in detected]


def _has_images(store: ArtifactStore, detected: ArtifactRef, processor: ProcessorRef | None) -> bool:
    facts = store.manifest(detected).facts
    if facts["rows_with_images"] and processor is None:
        raise RecipeError(
            f"source '{facts['source']}' has rows with images ({facts['rows_with_images']:,} in its shard "
            f"{detected.name}), and no image processor lies with the model's tokenizer: expected a "
            "preprocessor_config.json as vision-language models have it; take such a model, or leave the columns "
            "`image` and `images` out by `sources[].transform`"
        )
    return bool(facts["rows_with_images"])


def _name(
    store: ArtifactStore, shard: ShardRef, detected: ArtifactRef, folders: dict[str, Path | None], digests: Remembered
) -> NamedImages:
    own = [folders[file] for file in [part.file for part in shard.parts] or [shard.file]]
    return name_images(
        detected,
        store.path(detected) / "examples.arrow",
        shard.parts,
        [ImageFolder.at(folder) if folder else ImageFolder(None) for folder in own],
        digests,
        has_files=store.manifest(detected).facts["rows_with_image_files"] > 0,
    )
