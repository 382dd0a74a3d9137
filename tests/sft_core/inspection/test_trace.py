"""From blocks to source lines and back."""

import pytest

from sft_core.errors import RecipeError
from sft_core.inspection import find_dataset, lineage_of, trace_blocks, trace_line, trace_row
from tests.sft_core.inspection.data_set import REJECTED_ROW, Prepared


def test_the_parts_of_a_block_lead_to_the_lines_they_came_from(prepared: Prepared) -> None:
    lines = {name: (prepared.folder / f"{name}.jsonl").read_text().splitlines() for name in ("sums", "chats")}
    segments = trace_blocks(prepared.lineage, "train", [0, 3])
    assert {segment.block for segment in segments} == {0, 3}
    for segment in segments:
        assert segment.excerpt == lines[segment.source][segment.row][:160]
        assert segment.line == segment.row + 1
        assert segment.file.endswith(f"{segment.source}.jsonl")
    assert sum(segment.tokens for segment in segments if segment.block == 0) <= 64


def test_every_kept_row_is_found_where_its_block_says_it_lies(prepared: Prepared) -> None:
    for split in ("train", "eval"):
        for block in range(prepared.lineage.splits[split]["blocks"]):
            position = 0
            for segment in trace_blocks(prepared.lineage, split, [block]):
                [trace] = trace_row(prepared.lineage, segment.source, segment.row)
                [place] = trace.places
                assert (place.split, place.block, place.position) == (split, block, position)
                assert trace.fate == {"train": "trained", "eval": "held out"}[split]
                assert trace.num_tokens == segment.tokens
                position += segment.tokens


def test_the_length_of_a_block_is_that_of_its_parts(prepared: Prepared) -> None:
    from sft_core.modeling import Blocks

    for split in ("train", "eval"):
        assert prepared.lineage.block_lengths(split) == Blocks(prepared.lineage.folder / split).lengths()


def test_a_rejected_row_is_told_by_whom_and_why(prepared: Prepared) -> None:
    [trace] = trace_row(prepared.lineage, "sums", REJECTED_ROW)
    assert (trace.fate, trace.stage, trace.places) == ("rejected", "detect_formats", ())
    assert trace.reason is not None
    assert "`completion` is null" in trace.reason
    assert not trace.is_rendered


def test_a_line_of_a_file_is_the_same_row(prepared: Prepared) -> None:
    by_row = trace_row(prepared.lineage, "chats", 2)
    assert trace_line(prepared.lineage, "chats.jsonl", 3) == by_row
    assert trace_line(prepared.lineage, str(prepared.folder / "chats.jsonl"), 3) == by_row
    assert by_row[0].format == "messages"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda lineage: trace_row(lineage, "nowhere", 0), "expected one of the sources chats, sums"),
        (lambda lineage: trace_row(lineage, "sums", 40), "source 'sums' has no row 40"),
        (lambda lineage: trace_line(lineage, "nowhere.jsonl", 1), "expected one of the files"),
        (lambda lineage: trace_line(lineage, "sums.jsonl", 41), "no row of a source begins in that line"),
        (lambda lineage: trace_blocks(lineage, "train", [99]), r"--block 99: expected 0 to \d+ in train"),
        (lambda lineage: trace_blocks(lineage, "test", [0]), "--split test: expected one of train, eval"),
    ],
)
def test_what_is_not_there_is_refused(prepared: Prepared, ask: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        ask(prepared.lineage)  # type: ignore[operator]


def test_a_data_set_is_found_from_its_folder_and_from_inside(prepared: Prepared) -> None:
    folder = prepared.store.path(prepared.dataset)
    for path in (folder, folder / "train"):
        store, dataset, manifest = find_dataset(path)
        assert (store.root, dataset, manifest.ref) == (prepared.store.root, prepared.dataset, prepared.dataset)
    assert lineage_of(store, dataset) == prepared.lineage


def test_a_folder_that_is_no_data_set_is_refused(prepared: Prepared) -> None:
    with pytest.raises(RecipeError, match=r"found no manifest\.json"):
        find_dataset(prepared.folder / "nowhere")
    with pytest.raises(RecipeError, match="`tokenize_chats` comes before packing"):
        find_dataset(prepared.lineage.shards[0].tokens)
