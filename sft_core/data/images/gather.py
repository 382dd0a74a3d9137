"""Store the images of a shard's rows, and replace them in the rows by references."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sft_core.data.images.config import ImagesConfig
from sft_core.data.images.files import NamedImages
from sft_core.data.images.refusal import ImageRefusedError
from sft_core.data.images.take import ImageTaker
from sft_core.store.image_store import ImageStore, encode_images, identity_of_images, write_digests
from sft_core.store.ledger import Ledger, Rejection, count_reasons, read_rejections, write_rejections
from sft_core.store.parts import parts_of_rows
from sft_core.store.records import EXAMPLES, StageOutcome
from sft_core.store.stages import GATHER_IMAGES
from sft_core.store.tables import read_table, write_arrow

IDENTITIES = ("example_id", "prompt_id")
Identities = npt.NDArray[np.uint64]
"""[rows] One identity of 64 bits for each row, or the bits of it that change."""


def gather(
    config: ImagesConfig,
    named: NamedImages,
    source: str,
    examples: Path,
    ledger: Ledger,
    store: ImageStore,
    folder: Path,
) -> StageOutcome:
    """Read a shard's examples; write `examples.arrow`, `rejected.jsonl` and `images.json` into `folder`.

    From here on, `example_id` and `prompt_id` depend on the content of the images, not on their names.

    Args:
        config: The `images` section.
        named: The shard, with the files that its rows name.
        source: Name of the source, for rejections.
        examples: Folder with the shard's `examples.arrow` and the `rejected.jsonl` so far.
        ledger: The shard's ledger so far.
        store: The store that images are written to.
        folder: The folder to write to.

    Raises:
        DataError: if an image file changed, or became unreadable, after it was digested.
    """
    table = read_table(examples / "examples.arrow")
    taker = ImageTaker(config.max_pixels, named.files, store)
    references: list[bytes | None] = []
    change = np.zeros(len(table), np.uint64)
    refused: dict[int, ImageRefusedError] = {}
    digests: set[str] = set()
    parts = parts_of_rows(named.parts, table["row"].to_numpy())
    for index, (part, given) in enumerate(zip(parts.tolist(), table["images"], strict=True)):
        images, reference = given.as_py(), None
        if images is not None:
            try:
                taken = taker.take(part, images)
                reference = encode_images(taken)
                digests.update(image.digest for image in taken)
                change[index] = identity_of_images(images.encode()) ^ identity_of_images(reference)
            except ImageRefusedError as error:
                refused[index] = error
        references.append(reference)

    is_kept = pa.array([index not in refused for index in range(len(table))], pa.bool_())
    gathered = _with_references(table, references, change).filter(is_kept)
    rejections = [_reject(table.slice(index, 1), source, error) for index, error in refused.items()]
    write_arrow(folder / "examples.arrow", gathered)
    write_rejections(folder / "rejected.jsonl", [*read_rejections(examples / "rejected.jsonl"), *rejections])
    write_digests(folder, digests)
    splits = table["split"].take(pa.array(list(refused), pa.int64())).to_pylist()
    num_shown = len(gathered) - gathered["images"].null_count
    facts = {"source": source, "images": len(digests), "rows_with_images": num_shown}
    return StageOutcome(ledger=ledger.rejecting(splits, count_reasons(rejections)), facts=facts)


def _with_references(table: pa.Table, references: list[bytes | None], change: Identities) -> pa.Table:
    columns = {name: pa.array(table[name].to_numpy() ^ change) for name in IDENTITIES}
    columns["images"] = pa.array(references, EXAMPLES.field("images").type)
    return pa.table([columns.get(field.name, table[field.name]) for field in EXAMPLES], schema=EXAMPLES)


def _reject(row: pa.Table, source: str, error: ImageRefusedError) -> Rejection:
    """Reject a row. Its excerpt begins with the image's name, by which it can be found, and the decoder's message."""
    (fields,) = row.drop_columns(["images"]).to_pylist()
    return Rejection.of(source, fields, GATHER_IMAGES, str(error), f"{error.image}{error.detail}: {fields['example']}")
