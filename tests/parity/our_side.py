"""Our side of a comparison: a recipe's data, prepared by the functions that the tasks call, without Prefect."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import load_from_disk

from sft_core.chat import chat_template_of, render
from sft_core.file_digests import FileDigests
from sft_core.formats import detect
from sft_core.inputs import DataInputs, locate_inputs
from sft_core.ledger import Ledger, Rejection, read_rejections
from sft_core.packing import choose_rows, plan_blocks
from sft_core.recipe import Recipe
from sft_core.records import ShardRef
from sft_core.shards import write_blocks
from sft_core.sources import ingest
from sft_core.tables import read_table
from sft_core.token_rows import TokenRows
from sft_core.tokens import tokenize

LabelledRow = tuple[list[int], list[int]]
"""`input_ids` and `labels`; the label is -100 where the token is no target."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The train split as the trainer would read it."""

    rows: dict[int, LabelledRow]
    """Row number in the source → row; every row that was kept, in the order of the blocks."""
    blocks: list[dict[str, list[int]]]
    """`input_ids`, `labels` and `seq_lengths` of each block."""
    ledger: Ledger
    rejections: list[Rejection]
    tokens: TokenRows


def prepare(recipe: Recipe, folder: Path) -> Prepared:
    """Prepare a recipe's train split in `folder`, which must be empty or absent."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = locate_inputs(recipe, FileDigests(folder / "digests.sqlite"))
    done = [(shard.source, *_prepare_shard(recipe, inputs, shard, folder)) for shard in _ingest(inputs, folder)]
    rows = TokenRows.read([(source, tokens) for source, tokens, _ in done])
    chosen = choose_rows(recipe.packing, rows, "train", [1.0] * len(done)).rows
    plan = plan_blocks(recipe.packing, "train", rows.tokens[chosen], recipe.tokens.max_length).of_rows(chosen)
    write_blocks(folder, "train", rows, plan, "labels")
    written = load_from_disk(str(folder / "train")).to_list()
    return Prepared(
        rows=dict(zip(read_table(folder / "train-segments.arrow")["row"].to_pylist(), _rows_of(written), strict=True)),
        blocks=written,
        ledger=Ledger.total(ledger for _, _, ledger in done),
        rejections=[rejection for _, tokens, _ in done for rejection in read_rejections(tokens / "rejected.jsonl")],
        tokens=rows,
    )


def recipe_of(path: Path, tokenizer: Path, **sections: Any) -> Recipe:
    """A recipe that reads one file; sections are given as dictionaries, `columns` as our names → the file's."""
    source = {"path": str(path), "columns": sections.pop("columns", {})}
    model = {"init": "config", "config": {"model_type": "llama"}, "tokenizer": str(tokenizer)}
    return Recipe(name="parity", model=model, sources=[source], **sections)


def _ingest(inputs: DataInputs, folder: Path) -> list[ShardRef]:
    target = folder / "records"
    target.mkdir()
    return [
        ShardRef(**{**shard, "path": str(target / shard["path"])})
        for shard in (ingest(inputs.sources, target).facts or {})["shards"]
    ]


def _prepare_shard(recipe: Recipe, inputs: DataInputs, shard: ShardRef, folder: Path) -> tuple[Path, Ledger]:
    examples, rendered, tokens = (folder / f"{shard.name}-{stage}" for stage in ("examples", "rendered", "tokens"))
    for target in (examples, rendered, tokens):
        target.mkdir()
    template = chat_template_of(recipe.chat, inputs.template, inputs.tokenizer)
    detected = detect(recipe.formats, shard, Path(shard.path), examples)
    written = render(recipe.chat, template, shard.source, examples, detected.ledger or Ledger(), rendered)
    counted = tokenize(recipe.tokens, inputs.tokenizer, shard.source, rendered, written.ledger or Ledger(), tokens)
    return tokens, counted.ledger or Ledger()


def _rows_of(blocks: Sequence[dict[str, list[int]]]) -> Iterator[LabelledRow]:
    for block in blocks:
        start = 0
        for num_tokens in block["seq_lengths"]:
            yield block["input_ids"][start : start + num_tokens], block["labels"][start : start + num_tokens]
            start += num_tokens
