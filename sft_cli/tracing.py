"""Answers of `sft trace`."""

import itertools
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from flows.queries.choose_rows import parse_name
from flows.queries.open_data import OpenData, batches_of
from sft_cli.printing import heading
from sft_core.errors import RecipeError
from sft_core.inspection import RowTrace, SegmentTrace, trace_blocks, trace_line, trace_row


@dataclass(frozen=True, slots=True)
class Question:
    """Question to `sft trace`: exactly one of block, step, row and line is set."""

    block: int | None
    split: str
    step: int | None
    row: str | None
    line: str | None

    def __post_init__(self) -> None:
        asked = [value for value in (self.block, self.step, self.row, self.line) if value is not None]
        if len(asked) != 1:
            raise RecipeError(f"expected one of --block, --step, --row and --line, found {len(asked) or 'none'}")


def answer(console: Console, data: OpenData, question: Question) -> dict[str, Any]:
    """Print the answer, and return it as JSON values."""
    if question.row is not None or question.line is not None:
        traces = _traces(data, question)
        for trace in traces:
            _print_row(console, trace)
        return {"rows": [asdict(trace) for trace in traces]}
    batches = [[question.block or 0]] if question.step is None else batches_of(data, question.step)
    split = question.split if question.step is None else "train"
    if question.step is not None:
        shown = " ".join(str(batch) for batch in batches)
        console.print(f"step {question.step} trains on the blocks {shown}")
    segments = trace_blocks(data.lineage, split, list(itertools.chain.from_iterable(batches)))
    _print_segments(console, segments)
    result = {"segments": [asdict(segment) for segment in segments]}
    return result if question.step is None else {"step": question.step, "batches": batches, **result}


def _traces(data: OpenData, question: Question) -> list[RowTrace]:
    if question.row is not None:
        return trace_row(data.lineage, *parse_name("--row", question.row))
    return trace_line(data.lineage, *parse_name("--line", question.line or ""))


def _print_segments(console: Console, segments: list[SegmentTrace]) -> None:
    for (split, block), parts in itertools.groupby(segments, key=lambda segment: (segment.split, segment.block)):
        found = list(parts)
        total = sum(segment.tokens for segment in found)
        console.print(heading(f"\n{split} block {block}", f"  {total:,} tokens of {len(found)} rows"))
        for segment in found:
            console.print(_place(segment))
            console.print(f"      {segment.excerpt}", style="dim")
            for image in segment.images:
                console.print(f"      {image.in_words()}", style="dim")


def _place(segment: SegmentTrace) -> Text:
    line = f" (line {segment.line:,})" if segment.line is not None else ""
    stop = segment.start + segment.tokens
    place = f"  {segment.source} row {segment.row:,}{line}: tokens {segment.start:,} to {stop:,}"
    return heading("", place, f"  {segment.file}")


def _print_row(console: Console, trace: RowTrace) -> None:
    line = f" (line {trace.line:,})" if trace.line is not None else ""
    console.print(heading(f"\n{trace.source} row {trace.row:,}{line}", f"  {trace.fate}", f"  {trace.file}"))
    console.print(f"      {trace.excerpt}", style="dim")
    for text in _steps(trace):
        console.print(f"  {text}")


def _steps(trace: RowTrace) -> list[str]:
    """Describe a row's result in each stage, one line per stage."""
    steps = []
    if trace.format:
        steps.append(f"detect_formats   {trace.format}, {trace.split}")
    steps += [f"gather_images    {image.in_words()}" for image in trace.images]
    if trace.is_rendered:
        steps.append("render_chats     rendered")
    if trace.num_tokens is not None:
        lost = f", {trace.num_cut:,} cut off" if trace.num_cut else ""
        steps.append(f"tokenize_chats   {trace.num_tokens:,} tokens, {trace.num_targets:,} targets{lost}")
    steps += [
        f"pack_shards      {place.split} block {place.block} from position {place.position:,}: "
        f"tokens {place.start:,} to {place.start + place.tokens:,} of the row"
        for place in trace.places
    ]
    if trace.reason:
        steps.append(f"{trace.stage:<16} rejected: {trace.reason}")
    return steps or ["not selected by the recipe"]
