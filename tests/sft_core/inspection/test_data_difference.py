"""Two data sets side by side: a store against its copy, whose records were altered."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from sft_core.errors import RecipeError
from sft_core.inspection import Lineage, lineage_of
from sft_core.inspection.data_difference import difference_of
from sft_core.store.artifact import ArtifactStore
from sft_core.store.records import RECORDS
from sft_core.store.tables import read_table, write_arrow
from tests.sft_core.inspection.data_set import MAX_LENGTH, Prepared


@pytest.fixture
def copied(prepared: Prepared, tmp_path: Path) -> Lineage:
    """The same data set in another store, so that no file is known to be the same one."""
    shutil.copytree(prepared.store.root / "artifacts", tmp_path / "artifacts")
    return lineage_of(ArtifactStore(root=tmp_path), prepared.dataset)


def records(lineage: Lineage, source: str, number: int) -> Path:
    return [shard for shard in lineage.shards if shard.source == source][number].records


def test_a_data_set_is_the_same_as_itself_and_as_its_copy(prepared: Prepared, copied: Lineage) -> None:
    for other in (prepared.lineage, copied):
        found = difference_of(prepared.lineage, other)
        assert found.is_same
        assert {name: (one.rows, one.same) for name, one in found.sources.items()} == {
            "sums": ((40, 40), 40),
            "chats": ((12, 12), 12),
        }
        assert all(one.is_same and not one.moved and not one.examples for one in found.sources.values())
        assert all(before == after for before, after in found.lengths.values())
        assert sum(before for before, _ in found.formats.values()) == 51
        assert list(found.rejected.values()) == [(1, 1)]


def test_rows_are_told_by_file_row_and_line(prepared: Prepared, copied: Lineage) -> None:
    first, second = records(copied, "sums", 0), records(copied, "sums", 1)
    table = read_table(first)
    rows = table["record"].to_pylist()
    rows[4] = '{"prompt":"edited","completion":"x"}'
    write_arrow(first, table.set_column(2, RECORDS.field("record"), pa.array(rows, pa.large_string())))
    write_arrow(second, read_table(second).slice(0, 15))
    found = difference_of(prepared.lineage, copied).sources["sums"]
    assert (found.same, found.moved, found.changed, found.added, found.removed) == (38, 0, 1, 0, 1)
    assert found.examples == {"changed": ["sums.jsonl row 4 (line 5)"], "removed": ["sums.jsonl row 31 (line 32)"]}


def test_lengths_are_those_of_whole_rows(prepared: Prepared) -> None:
    table = prepared.table
    before, after = difference_of(prepared.lineage, prepared.lineage).lengths["train"]
    assert before is not None
    assert before == after
    own = table.is_train
    whole = sorted((table.tokens + table.tokens_truncated)[own].tolist())
    assert (before.rows, before.longest) == (len(whole), whole[-1])
    assert before.mean == pytest.approx(sum(whole) / len(whole))
    assert whole[len(whole) // 2 - 1] <= before.p50 <= whole[len(whole) // 2]
    assert before.truncated == pytest.approx(sum(length > MAX_LENGTH for length in whole) / len(whole))


def test_records_that_are_gone_are_told(prepared: Prepared, copied: Lineage) -> None:
    records(copied, "chats", 0).unlink()
    with pytest.raises(RecipeError, match=r"'chats'.*cannot be compared"):
        difference_of(prepared.lineage, copied)
