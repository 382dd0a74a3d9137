"""Small files that share shards, through all stages: nothing that is told of a data set shows that they do."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from sft_core.data.accounts import audit_of
from sft_core.data.sources import group
from sft_core.inspection import (
    Lineage,
    RowTable,
    figures_of,
    lineage_of,
    named_rows,
    trace_blocks,
    trace_line,
    trace_row,
    view_rows,
)
from sft_core.inspection.data_difference import difference_of
from sft_core.pretrained.plain_tokenizer import PlainTokenizer
from sft_core.store.tables import read_table
from tests.tasks.packed_data import pack
from tests.tasks.test_any_cut import recipe, row

FILES, MOST_ROWS = 24, 4


def write_files(folder: Path, draw: random.Random) -> None:
    """Files of no to four rows, blank lines between them, some equal to others, some compressed; rows of the kinds that
    are trained, held out, doubled, cut and rejected."""
    folder.mkdir()
    for number in range(FILES):
        rows = [draw.randrange(40) for _ in range(draw.randrange(MOST_ROWS + 1))]
        if number % 6 == 5:
            rows = [8, 0, 10]
        content = "".join("\n" * draw.randrange(2) + json.dumps(row(one)) + "\n" for one in rows) or "\n"
        is_packed = number % 8 < 2
        name = f"{number:02d}.jsonl{'.gz' if is_packed else ''}"
        (folder / name).write_bytes(gzip.compress(content.encode(), mtime=0) if is_packed else content.encode())


@pytest.fixture
def grouping(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Switches it on, with about four files a group, or off."""

    def switch(is_on: bool) -> None:
        monkeypatch.setattr(group, "FEWEST_FILES", 1 if is_on else 10**9)
        monkeypatch.setattr(group, "GROUP_BYTES", 1 << 12)
        monkeypatch.setattr(group, "FILE_BYTES", 1 << 9)

    return switch


def told_of(lineage: Lineage, plain: PlainTokenizer) -> dict[str, Any]:
    """All that people can ask about a data set."""
    table = RowTable.read(lineage)
    shards = lineage.shards
    return {
        "splits": lineage.splits,
        "ledger": lineage.manifest.ledger,
        "rejected": lineage.rejected.read_text(),
        "prompts": read_table(lineage.folder / "prompts.arrow").to_pylist(),
        "segments": [
            (split, shards[one.pop("shard")].file, sorted(one.items(), key=str))
            for split in lineage.splits
            for one in lineage.segments(split).to_pylist()
        ],
        "blocks": [trace_blocks(lineage, split, range(facts["blocks"])) for split, facts in lineage.splits.items()],
        "rows": [trace_row(lineage, source, number) for source in ("both", "few") for number in range(2)],
        "views": view_rows(lineage, table, plain, range(len(table))),
        "named": [named_rows(lineage, table, "both", number) for number in range(2)],
        "figures": repr(figures_of(lineage, table)),
    }


@pytest.mark.parametrize(
    ("seed", "strategy", "shard_rows"), [(1, "bfd", 4096), (2, "wrapped", 5), (3, "bfd", 3), (4, "wrapped", 4096)]
)
def test_what_is_told_of_a_data_set_does_not_hang_on_grouping(
    tmp_path: Path,
    tokenizer_folder: Path,
    plain: PlainTokenizer,
    grouping: Any,
    seed: int,
    strategy: str,
    shard_rows: int,
) -> None:
    write_files(tmp_path / "in", random.Random(seed))
    chosen = recipe(tmp_path / "in", tokenizer_folder, strategy, shard_rows, 1)
    lineages, audits = [], []
    for is_on in (False, True):
        grouping(is_on)
        data = pack(chosen, tmp_path / f"home-{is_on}")
        store, packed, audit = data.store, data.packed, audit_of(data.store, data.tokens, data.files)
        lineages.append(lineage_of(store, packed))
        audits.append(audit)
    alone, together = lineages
    assert len({shard.tokens for shard in together.shards}) < len({shard.tokens for shard in alone.shards})
    assert any(shard.part is not None for shard in together.shards)
    assert audits[0] == audits[1]
    expected, found = (told_of(lineage, plain) for lineage in lineages)
    for name, value in expected.items():
        assert found[name] == value, name
    for shard in alone.shards:
        if shard.file.endswith(".jsonl"):
            for line in read_table(shard.records)["line"].to_pylist():
                assert trace_line(together, shard.file, line) == trace_line(alone, shard.file, line)
    difference = difference_of(alone, together)
    assert difference.is_same
    assert all(source.same == source.rows[0] == source.rows[1] for source in difference.sources.values())


def _made(home: Path) -> dict[str, set[Path]]:
    stages = ("ingest_sources", "detect_formats", "render_chats", "tokenize_chats")
    return {stage: set((home / "artifacts" / stage).rglob("manifest.json")) for stage in stages}


@pytest.mark.parametrize("change", ["changed", "added", "removed"])
def test_a_change_of_a_file_makes_anew_only_the_groups_beside_it(
    tmp_path: Path, tokenizer_folder: Path, grouping: Any, change: str
) -> None:
    grouping(True)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02d}.jsonl").write_text(json.dumps(row(number * 9)) + "\n")
    whole = recipe(folder, tokenizer_folder, "bfd", 4096, 1)
    source = whole.sources[0].model_copy(update={"fraction": None})
    one = whole.model_copy(update={"sources": (source,)})
    pack(one, tmp_path / "home")
    before = _made(tmp_path / "home")
    if change == "removed":
        (folder / "17.jsonl").unlink()
    else:
        (folder / ("17.jsonl" if change == "changed" else "17a.jsonl")).write_text(json.dumps(row(1000)) + "\n")
    pack(one, tmp_path / "home")
    for stage, manifests in _made(tmp_path / "home").items():
        assert len(before[stage]) >= 4
        assert (change != "removed") <= len(manifests - before[stage]) <= 2, stage
