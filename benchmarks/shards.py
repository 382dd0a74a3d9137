"""Time and memory of the packing stage, from token shards to a data set.

    PYTHONPATH=. python benchmarks/shards.py                        # 245 shards of 4,096 rows: 1,003,520 rows
    PYTHONPATH=. python benchmarks/shards.py --shards 61 --strategy wrapped

The shards have the form that the tokenizing stage writes (row lengths log-normal around 110 tokens, 147 on average;
token ids by Zipf's law, 60 % of them targets). Then a new process reads the index, plans blocks of 4096 tokens and
writes them. Peak memory is that of this process, minus what it had after its imports.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from sft_core.data.packing import PackingConfig, choose_rows, plan_blocks
from sft_core.data.shards import write_blocks
from sft_core.data.token_rows import TokenRows
from sft_core.store.ragged import offsets_of
from sft_core.store.records import INDEX, TOKENS
from sft_core.store.tables import write_arrow

SHARD_ROWS = 4096
CAPACITY = 4096


def main() -> None:
    """Make the shards, pack them in another process, and print time and memory."""
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / str(number) for number in range(options.shards)]
        for number, folder in enumerate(folders):
            _make_shard(folder, np.random.default_rng(number))
        with multiprocessing.get_context("spawn").Pool(1) as process:
            process.apply(_pack, (folders, Path(scratch) / "out", options.strategy))


def _pack(folders: list[Path], out: Path, strategy: str) -> None:
    import datasets  # noqa: F401  (needed for writing; its memory must not be counted)

    out.mkdir()
    imported, start, cpu = _peak_mb(), time.perf_counter(), time.process_time()
    config = PackingConfig(packing=True, packing_strategy=strategy, shuffle_dataset=True)
    rows = TokenRows.read([("made", folder) for folder in folders])
    chosen = choose_rows(config, rows, "train", [1.0] * len(folders)).rows
    plan = plan_blocks(config, "train", rows.tokens[chosen], CAPACITY).of_rows(chosen)
    planned = time.perf_counter() - start
    written = write_blocks(out, "train", rows, plan, config.target_column)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"{strategy}: {len(chosen):,} rows, {written.tokens:,} tokens, {plan.num_blocks:,} blocks")
    print(
        f"index and plan {planned:.2f} s, in all {wall:.2f} s ({cpu:.2f} s CPU, {1e6 * cpu / len(chosen):.1f} us a row)"
    )
    print(f"peak memory {_peak_mb() - imported:.0f} MB more than the {imported:.0f} MB of the imports")


def _make_shard(folder: Path, rng: np.random.Generator) -> None:
    folder.mkdir()
    lengths = np.minimum(rng.lognormal(4.7, 0.75, SHARD_ROWS).astype(np.int64) + 2, CAPACITY)
    offsets = offsets_of(lengths)
    mask = (rng.random(offsets[-1]) < 0.6).astype(np.uint8)
    mask[offsets[:-1]] = 0
    ids = np.minimum(rng.zipf(1.3, offsets[-1]), 50_000)
    identity = rng.integers(1, 2**63, SHARD_ROWS)
    columns = {
        "row": np.arange(SHARD_ROWS),
        "split": ["train"] * SHARD_ROWS,
        "example_id": identity,
        "prompt_id": identity,
        "input_ids": pa.ListArray.from_arrays(offsets.astype(np.int32), ids.astype(np.int32)),
        "loss_mask": pa.ListArray.from_arrays(offsets.astype(np.int32), mask),
        "tokens": lengths,
        "targets": np.add.reduceat(mask, offsets[:-1], dtype=np.int64),
    }
    for name, schema in (("tokens", TOKENS), ("index", INDEX)):
        arrays = [pa.array(columns.get(field.name, [None] * SHARD_ROWS)).cast(field.type) for field in schema]
        write_arrow(folder / f"{name}.arrow", pa.table(arrays, schema))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time the packing stage on token shards, and measure its memory.")
    parser.add_argument("--shards", type=int, default=245)
    parser.add_argument("--strategy", choices=["bfd", "bfd_split", "wrapped"], default="bfd")
    return parser.parse_args()


if __name__ == "__main__":
    main()
