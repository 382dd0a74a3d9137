"""Time to decide which rows share a block, and how full the blocks are: ours against TRL 1.16's.

    PYTHONPATH=. python benchmarks/packing.py                      # 10,000, 100,000 and 1,000,000 rows, capacity 4096
    PYTHONPATH=. python benchmarks/packing.py --rows 50000 --strategy bfd_split --median 3000

Lengths are drawn from a log-normal distribution with the median and the spread of instruction data (`--median` 300
tokens, `--sigma` 0.9), cut to the capacity for `bfd` as truncation would. Both sides get the same lengths.

    ours       `plan_blocks`: lengths → the position of each piece of a row
    TRL        `pack_dataset` as its trainer calls it: in `map` batches of 1,000 rows
    TRL, all   the same with one batch that holds every row, which makes the same blocks as ours

Fairness: `pack_dataset` also moves the tokens, which ours does later, while it writes. Therefore its rows have one
column of one byte per token, which costs it almost nothing, and are in memory. Nothing is cached. The best of
`--rounds` counts. The run ends with status 1 if ours and `TRL, all` make different numbers of blocks.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything imports the Hub's client

import datasets
import numpy as np
import pyarrow as pa
from trl import pack_dataset

from sft_core.data.packing import PackingConfig, plan_blocks
from sft_core.store.ragged import offsets_of


def main() -> int:
    """Print the table."""
    options = _options()
    datasets.disable_progress_bars()
    datasets.disable_caching()
    libraries = ", ".join(f"{name} {version(name)}" for name in ("trl", "datasets", "pyarrow", "numpy"))
    print(f"{options.strategy}, capacity {options.capacity}, best of {options.rounds}; {libraries}")
    print("\n|      rows |     tokens | ours s |  fill % | TRL s |  fill % | TRL, all s |  fill % | TRL / ours |")
    print("| --------: | ---------: | -----: | ------: | ----: | ------: | ---------: | ------: | ---------: |")
    return max(_compare(rows, options) for rows in options.rows)


def _compare(num_rows: int, options: argparse.Namespace) -> int:
    lengths = _lengths(num_rows, options)
    config = PackingConfig(packing=True, packing_strategy=options.strategy)
    rows = _rows(lengths)
    works: dict[str, Callable[[], int]] = {
        "ours": lambda: plan_blocks(config, "train", lengths, options.capacity).num_blocks,
        "TRL": lambda: len(pack_dataset(rows, options.capacity, options.strategy)),
        "all": lambda: len(pack_dataset(rows, options.capacity, options.strategy, {"batch_size": num_rows})),
    }
    seconds, blocks = {}, {}
    for name, work in works.items():
        rounds = [_timed(work) for _ in range(options.rounds)]
        seconds[name], blocks[name] = min(rounds)
    fill = {name: 100 * lengths.sum() / (count * options.capacity) for name, count in blocks.items()}
    print(
        f"| {num_rows:9,} | {lengths.sum():10,} | {seconds['ours']:6.3f} | {fill['ours']:7.3f} "
        f"| {seconds['TRL']:5.2f} | {fill['TRL']:7.3f} | {seconds['all']:10.2f} | {fill['all']:7.3f} "
        f"| {seconds['TRL'] / seconds['ours']:10.0f} |"
    )
    return int(blocks["ours"] != blocks["all"])


def _timed(work: Callable[[], int]) -> tuple[float, int]:
    start = time.perf_counter()
    blocks = work()
    return time.perf_counter() - start, blocks


def _lengths(num_rows: int, options: argparse.Namespace) -> np.ndarray:
    drawn = np.random.default_rng(0).lognormal(np.log(options.median), options.sigma, num_rows).astype(np.int64) + 2
    return np.minimum(drawn, options.capacity) if options.strategy == "bfd" else drawn


def _rows(lengths: np.ndarray) -> datasets.Dataset:
    tokens = np.zeros(lengths.sum(), np.int8)
    lists = pa.LargeListArray.from_arrays(pa.array(offsets_of(lengths)), pa.array(tokens))
    return datasets.Dataset(pa.table({"input_ids": lists}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time packing of random lengths against TRL's.")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--capacity", type=int, default=4096)
    parser.add_argument("--strategy", choices=["bfd", "bfd_split", "wrapped"], default="bfd")
    parser.add_argument("--median", type=float, default=300.0)
    parser.add_argument("--sigma", type=float, default=0.9)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
