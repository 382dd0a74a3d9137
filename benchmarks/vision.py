"""Loading of images for training: images per second, the time that the trainer waits for them, and memory.

    PYTHONPATH=. python benchmarks/vision.py --images 10000 --workers 0 1 2

All images are different: the shapes of the vision quickstart, drawn in any size and kept in an image store. Each is
read from there, decoded, processed and trained on once, by the quickstart's model in batches of 32. Waiting is the time
between the request for a batch and its arrival, as a share of the whole time; the first batch, for which processes
start, does not count. Memory is that of this process and its loading processes, after a tenth of the images and at the
end: it must not grow.
"""

import argparse
import io
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from sft_core.modeling import Collator, PixelMaker, load_model, measure_head, supervise
from sft_core.pretrained.model import locate_model
from sft_core.pretrained.processor import locate_processor
from sft_core.pretrained.tokenizer import load_tokenizer, locate_tokenizer
from sft_core.recipe.recipe_file import load_recipe
from sft_core.store.file_digests import FileDigests
from sft_core.store.image_store import ImageRef, ImageStore
from sft_core.training.loaders import BlockLoader, EpochBatches

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT / "recipes"))
import make_vision_quickstart as quickstart  # noqa: E402

BATCH = 32


class Pictures:
    """Rows of one picture, a question and an answer each. Labels are −100 except on the last `num_answered` tokens."""

    def __init__(self, images: list[ImageRef], ids: list[int], num_answered: int) -> None:
        self._images, self._ids = images, np.array(ids, np.int64)
        self._labels = self._ids.copy()
        self._labels[:-num_answered] = -100

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        lengths = np.array([len(self._ids)])
        images = [[self._images[index]]]
        return {"input_ids": self._ids, "labels": self._labels, "seq_lengths": lengths, "images": images}


def main() -> None:
    """Print a line for each number of loading processes."""
    parser = argparse.ArgumentParser(description="Measure the loading of images during training.")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--side", type=int, default=64, help="side of an image in pixels")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        images = draw(ImageStore(Path(folder) / "images"), options.images, options.side)
        quickstart.main(Path(folder) / "quickstart") if not (PROJECT / "recipes/vision_quickstart").exists() else None
        print(f"{options.images:,} images of {options.side} × {options.side} pixels, batches of {BATCH}")
        print("| loading processes | images/s | waiting | memory after a tenth, MB | at the end, MB |")
        print("| ---: | ---: | ---: | ---: | ---: |")
        for workers in options.workers:
            rate, waiting, early, late = measure(images, Path(folder), workers)
            print(f"| {workers} | {rate:,.0f} | {waiting:.1%} | {early:,.0f} | {late:,.0f} |", flush=True)


def draw(store: ImageStore, count: int, side: int) -> list[ImageRef]:
    """Put `count` different pictures of `side` × `side` pixels into a store."""
    chance = random.Random(1)
    found = []
    for _ in range(count):
        picture = quickstart.draw(chance, chance.choice(list(quickstart.COLOURS)), chance.choice(quickstart.SHAPES))
        written = io.BytesIO()
        picture.resize((side, side)).save(written, "png")
        found.append(ImageRef(store.put(written.getvalue()), side, side))
    return found


def measure(images: list[ImageRef], folder: Path, workers: int) -> tuple[float, float, float, float]:
    """Return images per second, the share of time that the trainer waited, and memory in MiB early and late."""
    recipe = load_recipe(PROJECT / "recipes" / "vision_quickstart.yaml")
    made = folder / "quickstart" / "processor"
    processor_folder = made if made.exists() else PROJECT / "recipes" / "vision_quickstart" / "processor"
    config = recipe.model.model_copy(update={"tokenizer": str(processor_folder)})
    digests = FileDigests(folder / "digests.sqlite")
    tokenizer = locate_tokenizer(config, digests)
    processor = locate_processor(tokenizer, digests)
    assert processor is not None
    pixels = PixelMaker(processor, folder / "images")
    loaded = load_tokenizer(tokenizer)
    model = load_model(locate_model(config, digests), loaded, 42).train()
    (shown,) = pixels.vision().expansions([(images[0].height, images[0].width)])
    text = f"<|im_start|>user\n{shown}What is in the picture?<|im_end|>\n<|im_start|>assistant\nA red ring.<|im_end|>"
    ids = loaded(text, add_special_tokens=False)["input_ids"]
    rows = Pictures(images, ids, 5)
    batches = [list(range(start, start + BATCH)) for start in range(0, len(rows) - BATCH + 1, BATCH)]
    args = SimpleNamespace(
        dataloader_num_workers=workers,
        dataloader_pin_memory=False,
        dataloader_persistent_workers=False,
        dataloader_prefetch_factor=None,
        dataloader_multiprocessing_context=None,
    )
    collator = Collator(loaded.pad_token_id, pixels=pixels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    loader = iter(BlockLoader(rows, EpochBatches(lambda _: batches, len(batches)), args, collator))
    head = measure_head(model, next(loader))
    waited, early, started = 0.0, 0.0, time.perf_counter()
    for number in range(1, len(batches)):
        asked = time.perf_counter()
        batch = next(loader)
        waited += time.perf_counter() - asked
        supervise(model, head, batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if number == len(batches) // 10:
            early = resident()
    seconds = time.perf_counter() - started
    return (len(batches) - 1) * BATCH / seconds, waited / seconds, early, resident()


def resident() -> float:
    """Return the memory of this process and its children in MiB (PSS, which counts shared pages once)."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    total = 0
    for pid in ("self", *children):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


if __name__ == "__main__":
    main()
