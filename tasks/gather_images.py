"""Copy the images of a shard's rows into the state directory; only shards that have images are passed to the stage."""

from collections.abc import Sequence
from pathlib import Path

from sft_core.data.images import ImageFolder, ImagesConfig, NamedImages, gather, name_images
from sft_core.data.sources import LocatedSource
from sft_core.errors import RecipeError
from sft_core.pretrained.processor import ProcessorRef
from sft_core.recipe.inputs import DataInputs
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.store.file_digests import FileDigests, Remembered
from sft_core.store.image_store import ImageStore
from sft_core.store.ledger import Ledger
from sft_core.store.records import ShardRef
from tasks.home import file_digests
from tasks.stages import stage
from tasks.stages.run_context import RunContext
from tasks.workers import Work


@stage(per="named")
def gather_images(config: ImagesConfig, named: Sequence[NamedImages], context: RunContext) -> list[Work]:
    """Check and keep the images of shards, and refer to them by content."""
    store, works = context.store, []
    images = ImageStore.below(store.root)
    for shard in named:
        manifest = store.manifest(shard.examples)
        source, ledger, examples = manifest.facts["source"], manifest.ledger or Ledger(), store.path(shard.examples)
        works.append(Work(gather, (config, shard, source, examples, ledger, images)))
    return works


def examples_with_images(
    config: ImagesConfig,
    inputs: DataInputs,
    shards: Sequence[ShardRef],
    detected: Sequence[ArtifactRef],
    context: RunContext,
) -> tuple[list[ArtifactRef], list[ArtifactRef]]:
    """Gather the images of all shards that have rows with images.

    Args:
        config: The `images` section.
        inputs: The sources, with the folders of their images, and the model's image processor.
        shards: [shards] the records.
        detected: [shards] their examples.
        context: The store with the artifacts, and the workers.

    Returns:
        [shards] the examples of all shards, with gathered images for those that have some; and the artifacts of the
        stage, an empty list if no row has an image.

    Raises:
        RecipeError: if rows have images, and the model has no image processor.
    """
    store = context.store
    named = shards_with_images(store, inputs.sources, shards, detected, inputs.processor, file_digests(store))
    if not named:
        return list(detected), []
    gathered = gather_images(config, named, context)
    return with_images(detected, named, gathered), gathered


def shards_with_images(
    store: ArtifactStore,
    sources: Sequence[LocatedSource],
    shards: Sequence[ShardRef],
    detected: Sequence[ArtifactRef],
    processor: ProcessorRef | None,
    digests: FileDigests,
) -> list[NamedImages]:
    """Find the shards that have rows with images, and the image files that these rows name.

    Raises:
        RecipeError: if there are such shards, and the model has no image processor.
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
    """Return the examples of all shards in order, with gathered images for those that have some.

    Shards are matched by their order, not by their artifact: equal rows in two folders are one artifact, but name other
    image files in each.
    """
    have_images, waiting = {shard.examples for shard in named}, iter(gathered)
    return [next(waiting) if ref in have_images else ref for ref in detected]


def _has_images(store: ArtifactStore, detected: ArtifactRef, processor: ProcessorRef | None) -> bool:
    facts = store.manifest(detected).facts
    if facts["rows_with_images"] and processor is None:
        raise RecipeError(
            f"source '{facts['source']}' has rows with images ({facts['rows_with_images']:,} in its shard "
            f"{detected.name}), and the model's tokenizer comes without an image processor: expected a "
            "preprocessor_config.json as vision-language models have it; use such a model, or drop the columns `image` "
            "and `images` with `sources[].transform`"
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
