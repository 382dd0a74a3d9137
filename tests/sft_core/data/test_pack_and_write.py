"""Packing and writing together: whatever the strategy, the data set holds the tokens of the rows, and how the rows were
cut into shards and the blocks into files cannot be told from it."""

import hashlib
import tempfile
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from datasets import load_from_disk
from hypothesis import given
from hypothesis import strategies as st

from sft_core.data.packing import PackingConfig, choose_rows, plan_blocks
from sft_core.data.shards import WrittenBlocks, write, write_blocks

from .shards.token_shards import Row, token_row, token_rows

CAPACITY = 8
STRATEGIES = ["bfd", "bfd_split", "wrapped"]


def packed(folder: Path, config: PackingConfig, shards: list[list[Row]], repeat: float = 1.0) -> WrittenBlocks:
    """Everything from the index to the data set in `folder/out/train`."""
    rows = token_rows(folder, *shards)
    chosen = choose_rows(config, rows, "train", [repeat] * len(shards)).rows
    plan = plan_blocks(config, "train", rows.tokens[chosen], CAPACITY).of_rows(chosen)
    return write_blocks(folder / "out", "train", rows, plan, "loss_mask")


def read_back(folder: Path) -> list[dict[str, Any]]:
    return load_from_disk(str(folder / "out" / "train")).to_list()


def rows_of(lengths: list[int]) -> list[Row]:
    """Rows whose tokens are all different, with masks and, for some, weights."""
    rows, first = [], 100
    for number, length in enumerate(lengths):
        ids = list(range(first, first + length))
        weights = [float(token % 3) for token in ids] if number % 3 == 1 else None
        rows.append(token_row(ids, [token % 2 for token in ids], loss_weights=weights, example_id=number + 1))
        first += length
    return rows


def weight_of(rows: list[Row], token: int) -> float:
    row = next(row for row in rows if token in row["input_ids"])
    return float(token % 3) if row["loss_weights"] else 1.0


def cut(rows: list[Row], shard_rows: int) -> list[list[Row]]:
    return [rows[start : start + shard_rows] for start in range(0, len(rows), shard_rows)]


configs = st.builds(
    PackingConfig, packing=st.booleans(), packing_strategy=st.sampled_from(STRATEGIES), shuffle_dataset=st.booleans()
)
lengths_of_rows = st.lists(st.integers(1, CAPACITY), min_size=1, max_size=14)


@given(config=configs, lengths=lengths_of_rows, longer=st.integers(1, 3), repeat=st.sampled_from([1.0, 2.0, 2.5]))
def test_the_blocks_hold_every_token_as_often_as_its_row_is_chosen(
    config: PackingConfig, lengths: list[int], longer: int, repeat: float
) -> None:
    lengths = lengths if config.packing_strategy == "bfd" else [length * longer for length in lengths]
    rows = rows_of(lengths)
    with tempfile.TemporaryDirectory() as folder:
        written = packed(Path(folder), config, cut(rows, 5), repeat)
        blocks = read_back(Path(folder))
    tokens = [
        (token, mask) for block in blocks for token, mask in zip(block["input_ids"], block["loss_mask"], strict=True)
    ]
    times = {row["input_ids"][0]: [token for token, _ in tokens].count(row["input_ids"][0]) for row in rows}
    assert set(times.values()) <= ({2, 3} if repeat == 2.5 else {int(repeat)})
    expected = [
        (token, mask)
        for row in rows
        for token, mask in zip(row["input_ids"], row["loss_mask"], strict=True)
        for _ in range(times[row["input_ids"][0]])
    ]
    assert sorted(tokens) == sorted(expected)
    assert written.tokens == len(tokens)
    assert not config.packing or max(len(block["input_ids"]) for block in blocks) <= CAPACITY
    assert len(rows) == 1 or all(
        block["loss_weights"] == [weight_of(rows, token) for token in block["input_ids"]] for block in blocks
    )


@given(config=configs, lengths=lengths_of_rows, shard_rows=st.integers(1, 14), repeat=st.sampled_from([1.0, 1.5]))
def test_the_cut_into_shards_does_not_change_the_data_set(
    config: PackingConfig, lengths: list[int], shard_rows: int, repeat: float
) -> None:
    rows = rows_of(lengths)
    with tempfile.TemporaryDirectory() as folder:
        whole = packed(Path(folder) / "whole", config, [rows], repeat)
        parts = packed(Path(folder) / "parts", config, cut(rows, shard_rows), repeat)
        assert whole == parts
        assert read_back(Path(folder) / "whole") == read_back(Path(folder) / "parts")
        data = [path.read_bytes() for path in sorted(Path(folder).glob("*/out/train/data-*.arrow"))]
        assert hashlib.sha256(data[0]).digest() == hashlib.sha256(data[-1]).digest()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_many_files_hold_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: Any) -> None:
    config = PackingConfig(packing=True, packing_strategy=strategy, shuffle_dataset=True)
    rows = rows_of([1 + number * 5 % CAPACITY for number in range(60)])
    one = packed(tmp_path / "one", config, cut(rows, 7), 1.5)
    monkeypatch.setattr(write, "FILE_BYTES", 200)
    monkeypatch.setattr(write, "BATCH_BYTES", 90)
    many = packed(tmp_path / "many", config, cut(rows, 7), 1.5)
    files = sorted(path.name for path in (tmp_path / "many" / "out" / "train").glob("*.arrow"))
    assert len(files) > 10
    assert files[0] == f"data-00000-of-{len(files):05d}.arrow"
    assert one == many
    assert read_back(tmp_path / "one") == read_back(tmp_path / "many")
    assert not list(tmp_path.glob("*/out/.*"))


def test_a_block_that_is_larger_than_a_file_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "FILE_BYTES", 1)
    packed(tmp_path, PackingConfig(), cut(rows_of([3, 1, 2]), 2))
    assert [block["seq_lengths"] for block in read_back(tmp_path)] == [[3], [1], [2]]
    assert len(list((tmp_path / "out" / "train").glob("*.arrow"))) == 3


def test_wrapped_blocks_are_the_rows_joined_and_cut(tmp_path: Path) -> None:
    rows = rows_of([5, 20, 1, 9])
    packed(tmp_path, PackingConfig(packing=True, packing_strategy="wrapped"), cut(rows, 3))
    joined = [token for row in rows for token in row["input_ids"]]
    expected = [joined[start : start + CAPACITY] for start in range(0, len(joined), CAPACITY)]
    assert [block["input_ids"] for block in read_back(tmp_path)] == expected


def peak_of_writing(folder: Path, num_shards: int) -> int:
    """Bytes that writing so many shards of rows has allocated at once; with all else that this process does."""
    write.FILE_BYTES, write.BATCH_BYTES = 2**18, 2**16
    rows = token_rows(folder, *[[token_row([7] * 2000, [1] * 2000) for _ in range(32)]] * num_shards)
    plan = plan_blocks(PackingConfig(shuffle_dataset=True), "train", rows.tokens, None)
    write_blocks(folder / "warm", "train", rows, plan, "loss_mask")
    tracemalloc.start()
    write_blocks(folder / "out", "train", rows, plan, "loss_mask")
    return tracemalloc.get_traced_memory()[1]


def test_memory_does_not_grow_with_the_number_of_tokens(tmp_path: Path) -> None:
    """Each in a fresh process: threads that other tests have left behind would be counted here."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as fresh:
        peaks = [fresh.submit(peak_of_writing, tmp_path / str(shards), shards).result(300) for shards in (4, 16)]
    assert peaks[1] < 1.2 * peaks[0]
