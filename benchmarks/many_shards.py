"""What a shard costs beyond its rows: CPU time of this process as shards of one row grow in number.

    PYTHONPATH=. python benchmarks/many_shards.py --files 20 220 1020

Each of so many JSON Lines files has one row, and so is one shard in each of the four stages before packing. They are
made by the functions of the tasks, in this process and without Prefect. The slope between two numbers of files is what
finding, keys, locks, manifests, digests and tables cost a file; what does not grow (imports, the tokenizer) falls out.
Waiting for the disk is not CPU time: a shard flushes about 14 files and folders in the four stages. The second column
is the same again, when everything is there.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from sft_core.recipe import Recipe
from sft_core.recipe.inputs import locate_inputs
from sft_core.store.artifact import ArtifactStore
from tasks.detect_formats import detect_formats
from tasks.home import file_digests
from tasks.ingest_sources import ingest_sources, pieces_of, shards_of
from tasks.render_chats import render_chats
from tasks.tokenize_chats import tokenize_chats
from tasks.workers import shard_workers

TOKENIZER = Path(__file__).parents[2] / "shared" / "data" / "tokenizer-gpt-neox"


def main() -> None:
    """Print a line a number of files."""
    parser = argparse.ArgumentParser(description="CPU time a shard.")
    parser.add_argument("--files", type=int, nargs="+", default=[20, 220, 1020])
    options = parser.parse_args()
    print("| files | CPU s | again, CPU s |")
    print("| ---: | ---: | ---: |")
    for num_files in options.files:
        with tempfile.TemporaryDirectory() as folder:
            first, again = measure(Path(folder), num_files, TOKENIZER)
        print(f"| {num_files:,} | {first:.2f} | {again:.2f} |", flush=True)


def measure(folder: Path, num_files: int, tokenizer: Path) -> tuple[float, float]:
    """CPU seconds of making all shards, and of finding them made."""
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
        here: dict[str, Any] = {"store": store, "workers": workers}
        shards = shards_of(store, inputs.sources, ingest_sources(pieces_of(inputs.sources), **here))
        records = detect_formats(recipe.formats, shards, **here)
        rendered = render_chats(recipe.chat, inputs.template, inputs.tokenizer, records, **here)
        tokenize_chats(recipe.tokens, recipe.row_limits, inputs.tokenizer, rendered, **here)
    return time.process_time() - started


if __name__ == "__main__":
    main()
