"""The cost of a shard in addition to its rows: CPU time of this process as the number of one-row shards grows.

    PYTHONPATH=. python benchmarks/many_shards.py --files 20 220 1020

Each JSON Lines file has one row, and so is one shard in each of the four stages before packing. The shards are made by
the functions of the tasks, in this process and without Prefect. The slope between two numbers of files is the cost per
file of finding, keys, locks, manifests, digests and tables; constant costs (imports, the tokenizer) cancel out. Waiting
for the disk is not CPU time: a shard flushes about 14 files and folders in the four stages. The second column is a
repetition in which everything exists already.
"""

import argparse
import tempfile
import time
from pathlib import Path

import orjson

from sft_core.recipe import Recipe
from sft_core.recipe.inputs import locate_inputs
from sft_core.store.artifact import ArtifactStore
from tasks.detect_formats import detect_formats
from tasks.home import file_digests
from tasks.ingest_sources import ingest_sources, pieces_of, shards_of
from tasks.render_chats import render_chats
from tasks.stages.run_context import RunContext
from tasks.tokenize_chats import tokenize_chats
from tasks.workers import shard_workers

TOKENIZER = Path(__file__).parents[2] / "shared" / "data" / "tokenizer-gpt-neox"


def main() -> None:
    """Print a line for each number of files."""
    parser = argparse.ArgumentParser(description="Measure CPU time per shard.")
    parser.add_argument("--files", type=int, nargs="+", default=[20, 220, 1020])
    options = parser.parse_args()
    print("| files | CPU s | again, CPU s |")
    print("| ---: | ---: | ---: |")
    for num_files in options.files:
        with tempfile.TemporaryDirectory() as folder:
            first, again = measure(Path(folder), num_files, TOKENIZER)
        print(f"| {num_files:,} | {first:.2f} | {again:.2f} |", flush=True)


def measure(folder: Path, num_files: int, tokenizer: Path) -> tuple[float, float]:
    """Return the CPU seconds of making all shards, and of finding them in the store."""
    (folder / "in").mkdir()
    for number in range(num_files):
        row = {"prompt": f"What is {number} plus one?", "completion": f"{number + 1}"}
        (folder / "in" / f"{number:06d}.jsonl").write_bytes(orjson.dumps(row) + b"\n")
    recipe = Recipe.model_validate(
        {
            "name": "many-shards",
            "model": {"init": "config", "config": {"model_type": "llama"}, "tokenizer": str(tokenizer)},
            "sources": [{"path": str(folder / "in")}],
            "runtime": {"num_workers": 1},
        }
    )
    return _seconds(recipe, folder / "home"), _seconds(recipe, folder / "home")


def _seconds(recipe: Recipe, home: Path) -> float:
    started = time.process_time()
    store = ArtifactStore(root=home)
    inputs = locate_inputs(recipe, file_digests(store))
    with shard_workers(recipe.runtime) as workers:
        context, reader = RunContext(store, workers), inputs.reader(has_images=False)
        shards = shards_of(store, inputs.sources, ingest_sources(pieces_of(inputs.sources), context))
        records = detect_formats(recipe.formats, shards, context)
        rendered = render_chats(recipe.chat, inputs.template, reader, records, context)
        tokenize_chats(recipe.tokens, recipe.limits(has_images=False), reader, rendered, context)
    return time.process_time() - started


if __name__ == "__main__":
    main()
