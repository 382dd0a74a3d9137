"""Our side of a comparison: a recipe's data, prepared by the functions that the tasks call, without Prefect."""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import load_from_disk

from sft_core.data.block_plan import BlockPlan
from sft_core.data.chat import chat_template_of, render
from sft_core.data.formats import detect
from sft_core.data.packing import choose_rows, plan_blocks
from sft_core.data.shards import write_blocks
from sft_core.data.sources import ingest_all
from sft_core.data.token_rows import TokenRows
from sft_core.data.tokens import tokenize
from sft_core.recipe import Recipe
from sft_core.recipe.inputs import DataInputs, locate_inputs
from sft_core.store.file_digests import FileDigests
from sft_core.store.ledger import Ledger, Rejection, read_rejections
from sft_core.store.records import ShardRef
from sft_core.store.tables import read_table

LabelledRow = tuple[list[int], list[int]]
"""`input_ids` and `labels`; the label is -100 where the token is no target."""
Segment = tuple[int, int, LabelledRow]
"""Row number in the source, where in the row the segment begins, and its tokens."""
Block = dict[str, list[int]]
"""`input_ids`, `labels` and `seq_lengths`."""


@dataclass(frozen=True, slots=True)
class RenderedRows:
    """The rows as text with spans: what no limit and no packing changes."""

    inputs: DataInputs
    shards: list[tuple[str, Path, Ledger]]
    """Of each its source, its folder and the ledger so far."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The train split as the trainer would read it."""

    segments: list[Segment]
    """In the order of the blocks."""
    blocks: list[Block]
    ledger: Ledger
    rejections: list[Rejection]
    tokens: TokenRows

    @property
    def rows(self) -> dict[int, LabelledRow]:
        """Row number in the source → row; every row that was kept."""
        assert all(start == 0 for _, start, _ in self.segments), "rows were split"
        return {row: tokens for row, _, tokens in self.segments}


def prepare(recipe: Recipe, folder: Path) -> Prepared:
    """Prepare a recipe's train split in `folder`, which must be empty or absent."""
    return tokenize_and_pack(recipe, render_rows(recipe, folder / "rendered"), folder)


def prepare_rows(rows: list[dict[str, Any]], tokenizer: Path, folder: Path, **sections: Any) -> Prepared:
    """Write rows to a file and prepare it; `chat_template` is the text of a template."""
    folder.mkdir(parents=True, exist_ok=True)
    path, template = folder / "rows.jsonl", folder / "template.jinja"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    if source := sections.pop("chat_template", None):
        template.write_text(source, encoding="utf-8")
        sections["chat"] = {**sections.get("chat", {}), "chat_template_path": str(template)}
    return prepare(recipe_of(path, tokenizer, **sections), folder / "ours")


def render_rows(recipe: Recipe, folder: Path) -> RenderedRows:
    """Take a recipe's rows through the rooms that look at their texts."""
    folder.mkdir(parents=True)
    inputs = locate_inputs(recipe, FileDigests(folder / "digests.sqlite"))
    shards = ingest_all(inputs.sources, folder)
    return RenderedRows(inputs, [(shard.source, *_render_shard(recipe, inputs, shard, folder)) for shard in shards])


def tokenize_and_pack(recipe: Recipe, rendered: RenderedRows, folder: Path) -> Prepared:
    """Finish what was rendered, by the sections `tokens` and `packing` of a recipe."""
    done = [
        (source, *_tokenize_shard(recipe, rendered.inputs, source, shard, ledger, folder))
        for source, shard, ledger in rendered.shards
    ]
    rows = TokenRows.read([(source, tokens) for source, tokens, _ in done])
    chosen = choose_rows(recipe.packing, rows, "train", [1.0] * len(done)).rows
    plan = plan_blocks(recipe.packing, "train", rows.tokens[chosen], recipe.tokens.max_length).of_rows(chosen)
    blocks, segments = _written(folder, rows, plan) if len(chosen) else ([], [])
    return Prepared(
        segments=segments,
        blocks=blocks,
        ledger=Ledger.total(ledger for _, _, ledger in done),
        rejections=[rejection for _, tokens, _ in done for rejection in read_rejections(tokens / "rejected.jsonl")],
        tokens=rows,
    )


def recipe_of(path: Path, tokenizer: Path, **sections: Any) -> Recipe:
    """A recipe that reads one file; sections are given as dictionaries, `columns` as our names → the file's."""
    source = {"path": str(path), "columns": sections.pop("columns", {})}
    model = {"init": "config", "config": {"model_type": "llama"}, "tokenizer": str(tokenizer)}
    return Recipe(name="parity", model=model, sources=[source], **sections)


def _render_shard(recipe: Recipe, inputs: DataInputs, shard: ShardRef, folder: Path) -> tuple[Path, Ledger]:
    examples, rendered = (folder / f"{shard.name}-{stage}" for stage in ("examples", "rendered"))
    examples.mkdir()
    rendered.mkdir()
    template = chat_template_of(recipe.chat, inputs.template, inputs.tokenizer)
    detected = detect(recipe.formats, shard, shard.arrow_file(folder), examples)
    written = render(recipe.chat, template, shard.source, examples, detected.ledger or Ledger(), rendered)
    return rendered, written.ledger or Ledger()


def _tokenize_shard(
    recipe: Recipe, inputs: DataInputs, source: str, rendered: Path, ledger: Ledger, folder: Path
) -> tuple[Path, Ledger]:
    tokens = folder / f"{rendered.name}-tokens"
    tokens.mkdir(parents=True)
    outcome = tokenize(recipe.tokens, inputs.tokenizer, source, rendered, ledger, tokens, limits=recipe.row_limits)
    return tokens, outcome.ledger or Ledger()


def _written(folder: Path, rows: TokenRows, plan: BlockPlan) -> tuple[list[Block], list[Segment]]:
    """Write the blocks, read them back, and cut them by the table that lies beside them."""
    write_blocks(folder, "train", rows, plan, "labels")
    blocks, places = load_from_disk(str(folder / "train")).to_list(), read_table(folder / "train-segments.arrow")
    ids, labels = ([token for block in blocks for token in block[name]] for name in ("input_ids", "labels"))
    edges = [0, *itertools.accumulate(places["tokens"].to_pylist())]
    pieces = [(ids[start:end], labels[start:end]) for start, end in itertools.pairwise(edges)]
    return blocks, list(zip(places["row"].to_pylist(), places["start"].to_pylist(), pieces, strict=True))
