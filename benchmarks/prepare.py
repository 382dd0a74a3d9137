"""Time of preparation, from raw file to packed shards: ours against TRL 1.16's, in turn in one process.

    PYTHONPATH=. python benchmarks/prepare.py                    # 5 rounds of ours, TRL, ours, TRL, … on GSM8K
    PYTHONPATH=. python benchmarks/prepare.py --turns 4          # chats of 4 of its problems each, ChatML
    PYTHONPATH=. python benchmarks/prepare.py --rounds 3 --rows 2000 --trl-processes 2

Both turn one JSONL file into blocks of `--max-length` tokens (`bfd`), with completion-only labels, or with
assistant-only labels if it holds chats:

    ours    locate and digest the inputs → ingest → detect → render → tokenize → pack → Arrow shards, by the functions
            that the tasks call, one shard after the other in this process (as `tasks/workers` makes a few shards),
            encoded by as many threads as there are cores; no Prefect, no artifact store
    TRL     `load_dataset("json")` → rename the two columns → `SFTTrainer._prepare_dataset(packing=True)`, which is all
            that the constructor does to a data set; building the trainer itself, once, is not timed

Fairness: both start from the file and end with Arrow files on disk. Both get an empty folder each round (TRL's is the
cache of `datasets`, so nothing of an earlier round is reused). Both work in one process, which is TRL's default
(`dataset_num_proc=None`), and CPU seconds are given as well as wall time. Not counted are imports, loading the
tokenizer, and one whole round of each side, whose outputs are compared.

The floor is one `encode_batch` of the same texts by `tokenizers`, which no pipeline around that encoder can undercut.

The run ends with status 1 if the two did not make the same tokens and the same targets, counted by token id.
"""

import argparse
import gc
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything imports the Hub's client

import datasets
import numpy as np
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from trl import SFTTrainer

from benchmarks.distinct_rows import GSM8K, as_chats
from benchmarks.trl_prepare import CHATML, TOKENIZER, build_trainer, prepare
from sft_core.data.chat import chat_template_of, render
from sft_core.data.formats import detect
from sft_core.data.packing import choose_rows, plan_blocks
from sft_core.data.shards import write_blocks
from sft_core.data.sources import ingest_all
from sft_core.data.token_rows import TokenRows
from sft_core.data.tokens import tokenize
from sft_core.recipe import Recipe
from sft_core.recipe.inputs import locate_inputs
from sft_core.store.file_digests import FileDigests
from sft_core.store.ledger import Ledger
from sft_core.store.records import ShardRef


@dataclass(frozen=True, slots=True)
class Task:
    """The data and options that both sides get."""

    data: Path
    has_chats: bool
    max_length: int


@dataclass(frozen=True, slots=True)
class Timing:
    """Wall and CPU seconds of one round of one side."""

    wall_seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Contents:
    """Counts that do not depend on the order: how often each token id occurs, and how often it is a target."""

    num_blocks: int
    num_tokens: int
    num_targets: int
    tokens_by_id: bytes
    targets_by_id: bytes


def prepare_ours(task: Task, folder: Path) -> Path:
    """Run our stages one after the other, and return the data set's folder."""
    recipe = _recipe(task)
    inputs = locate_inputs(recipe, FileDigests(folder / "digests.sqlite"))
    template = chat_template_of(recipe.chat, inputs.template, inputs.tokenizer)

    def prepare_shard(shard: ShardRef) -> tuple[str, Path]:
        examples, rendered, tokens = (_new(folder / stage / shard.name) for stage in ("examples", "rendered", "tokens"))
        detected = detect(recipe.formats, shard, shard.arrow_file(folder), examples)
        written = render(recipe.chat, template, shard.source, examples, detected.ledger or Ledger(), rendered)
        ledger = written.ledger or Ledger()
        tokenize(recipe.tokens, inputs.tokenizer, shard.source, rendered, ledger, tokens, threads=os.cpu_count() or 1)
        return shard.source, tokens

    done = [prepare_shard(shard) for shard in ingest_all(inputs.sources, folder)]
    rows = TokenRows.read(done)
    chosen = choose_rows(recipe.packing, rows, "train", [1.0] * len(done)).rows
    plan = plan_blocks(recipe.packing, "train", rows.tokens[chosen], recipe.tokens.max_length).of_rows(chosen)
    write_blocks(folder, "train", rows, plan, recipe.packing.target_column)
    return folder / "train"


def prepare_trl(task: Task, trainer: SFTTrainer, folder: Path) -> datasets.Dataset:
    """Prepare the same file with TRL."""
    columns = {} if task.has_chats else {"question": "prompt", "answer": "completion"}
    return prepare(trainer, task.data, folder, columns)


def timed(work: Callable[[Path], object]) -> Timing:
    """Run `work` in an empty folder, and return its time."""
    with tempfile.TemporaryDirectory() as folder:
        gc.collect()
        wall, cpu = time.perf_counter(), _cpu_seconds()
        work(Path(folder))
        return Timing(time.perf_counter() - wall, _cpu_seconds() - cpu)


def contents_of_ours(dataset: Path) -> Contents:
    """Count the blocks, tokens and targets of our shards."""
    columns = datasets.load_from_disk(str(dataset)).with_format("numpy")
    ids, mask = np.concatenate(list(columns["input_ids"])), np.concatenate(list(columns["loss_mask"]))
    return _count(len(columns), ids, ids[mask == 1])


def contents_of_trl(dataset: datasets.Dataset) -> Contents:
    """Count the blocks, tokens and targets of TRL's data set."""
    columns = dataset.with_format("numpy")
    ids, labels = np.concatenate(list(columns["input_ids"])), np.concatenate(list(columns["labels"]))
    return _count(len(columns), ids, labels[labels != -100])


def main() -> int:
    """Compare the outputs, run the rounds, print the table. Return 0 if the outputs are equal, else 1."""
    options = _options()
    logging.disable(logging.WARNING)
    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    if options.turns:
        tokenizer.chat_template = CHATML
    with tempfile.TemporaryDirectory() as scratch:
        data = _write_data(options, Path(scratch) / "rows.jsonl")
        task = Task(data, bool(options.turns), options.max_length)
        settings = {"dataset_num_proc": options.trl_processes, "assistant_only_loss": task.has_chats}
        trainer = build_trainer(tokenizer, Path(scratch), options.max_length, **settings)
        is_same = _compare(task, trainer)
        texts = _texts(task, tokenizer)
        works: dict[str, Callable[[Path], object]] = {
            "ours": lambda folder: prepare_ours(task, folder),
            "TRL": lambda folder: prepare_trl(task, trainer, folder),
            "floor": lambda _: tokenizer.backend_tokenizer.encode_batch(texts),
        }
        timings: dict[str, list[Timing]] = {name: [] for name in works}
        for _ in range(options.rounds):
            for name, work in works.items():
                timings[name].append(timed(work))
    _print_table(timings, len(texts), options.trl_processes)
    return 0 if is_same else 1


def _compare(task: Task, trainer: SFTTrainer) -> bool:
    with tempfile.TemporaryDirectory() as ours_folder, tempfile.TemporaryDirectory() as trl_folder:
        ours = contents_of_ours(prepare_ours(task, Path(ours_folder)))
        trl = contents_of_trl(prepare_trl(task, trainer, Path(trl_folder)))
    for name, side in (("ours", ours), ("TRL", trl)):
        print(f"{name:5} {side.num_tokens:,} tokens, {side.num_targets:,} targets, {side.num_blocks:,} blocks")
    is_same = (ours.tokens_by_id, ours.targets_by_id) == (trl.tokens_by_id, trl.targets_by_id)
    print("same tokens and same targets, each id as often" if is_same else "DIFFERENT tokens or targets")
    return is_same


def _print_table(timings: dict[str, list[Timing]], num_rows: int, trl_processes: int | None) -> None:
    libraries = ", ".join(
        f"{name} {version(name)}" for name in ("trl", "transformers", "tokenizers", "datasets", "pyarrow")
    )
    print(f"\n{num_rows:,} rows, {len(timings['ours'])} rounds, medians; {os.cpu_count()} cores; {libraries}")
    print(f"TRL in {trl_processes or 1} process(es)\n")
    print("|              | wall s | CPU s | cores | rows/s | wall s, all rounds")
    print("| ------------ | -----: | ----: | ----: | -----: | ------------------")
    medians = {name: _median(rounds) for name, rounds in timings.items()}
    for name, median in medians.items():
        all_rounds = " ".join(f"{timing.wall_seconds:.2f}" for timing in timings[name])
        rate = num_rows / median.wall_seconds
        cores = median.cpu_seconds / median.wall_seconds
        columns = f"{median.wall_seconds:6.2f} | {median.cpu_seconds:5.2f} | {cores:5.2f} | {rate:6,.0f}"
        print(f"| {name:12} | {columns} | {all_rounds}")
    for over, under in (("TRL", "ours"), ("ours", "floor")):
        wall = medians[over].wall_seconds / medians[under].wall_seconds
        cpu = medians[over].cpu_seconds / medians[under].cpu_seconds
        print(f"| {over + ' / ' + under:12} | {wall:6.2f} | {cpu:5.2f} |       |        |")


def _median(rounds: list[Timing]) -> Timing:
    return Timing(
        statistics.median(timing.wall_seconds for timing in rounds),
        statistics.median(timing.cpu_seconds for timing in rounds),
    )


def _recipe(task: Task) -> Recipe:
    columns = {} if task.has_chats else {"prompt": "question", "completion": "answer"}
    chat = {"chat_template_path": "chatml", "assistant_only_loss": True} if task.has_chats else {}
    return Recipe(
        name="benchmark",
        model={"init": "config", "config": {"model_type": "llama"}, "tokenizer": str(TOKENIZER)},
        sources=[{"path": str(task.data), "columns": columns}],
        chat=chat,
        tokens={"max_length": task.max_length},
        packing={"packing": True, "packing_strategy": "bfd"},
    )


def _write_data(options: argparse.Namespace, target: Path) -> Path:
    """Write the file that both sides read, cut or made into chats as the options require. This is not timed."""
    rows = [json.loads(line) for line in options.data.read_bytes().splitlines()][: options.rows]
    made = list(as_chats(iter(rows), options.turns)) if options.turns else rows
    target.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made), encoding="utf-8")
    return target


def _texts(task: Task, tokenizer: PreTrainedTokenizerFast) -> list[str]:
    rows = [json.loads(line) for line in task.data.read_bytes().splitlines()]
    if task.has_chats:
        return [tokenizer.apply_chat_template(row["messages"], tokenize=False) for row in rows]
    return [row["question"] + row["answer"] + tokenizer.eos_token for row in rows]


def _count(num_blocks: int, ids: np.ndarray, targets: np.ndarray) -> Contents:
    by_id = (np.bincount(values).tobytes() for values in (ids, targets))
    return Contents(num_blocks, len(ids), len(targets), *by_id)


def _new(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time our preparation of a JSONL file against TRL's.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, help="use only the first ROWS rows of the file")
    parser.add_argument("--data", type=Path, default=GSM8K, help="JSON lines of `question` and `answer`")
    parser.add_argument("--turns", type=int, help="make chats of TURNS problems each")
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--trl-processes", type=int, help="SFTConfig.dataset_num_proc")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
