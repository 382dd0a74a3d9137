"""The task that is mapped over pieces: what was read once is not read again."""

from pathlib import Path

from sft_core.data.sources import SourceSpec, locate_sources
from sft_core.store.artifact import ArtifactStore
from sft_core.store.file_digests import FileDigests
from sft_core.store.records import ShardRef
from tasks.ingest_sources import ingest_sources, pieces_of, shards_of
from tasks.stages.run_context import RunContext


def run(path: Path, store: ArtifactStore) -> list[ShardRef]:
    sources = locate_sources((SourceSpec(path=str(path), shard_rows=2),), FileDigests.below(store.root))
    return shards_of(store, sources, ingest_sources(pieces_of(sources), RunContext(store)))


def test_appended_rows_are_ingested_alone(tmp_path: Path) -> None:
    path, store = tmp_path / "sums.jsonl", ArtifactStore(root=tmp_path / "home")
    path.write_text('{"a": 1}\n{"a": 2}\n{"a": 3}\n{"a": 4}\n')
    before = run(path, store)
    made = {file: file.stat().st_ino for file in store.root.rglob("manifest.json")}
    with path.open("a") as file:
        file.write('{"a": 5}\n')
    after = run(path, store)
    assert (len(made), len(list(store.root.rglob("manifest.json")))) == (2, 3)
    assert {file: file.stat().st_ino for file in made} == made
    assert after[:2] == before
    assert [(shard.name, shard.rows, shard.file) for shard in after] == [
        ("sums-00000", 2, "sums.jsonl"),
        ("sums-00001", 2, "sums.jsonl"),
        ("sums-00002", 1, "sums.jsonl"),
    ]
    assert all(shard.arrow_file(store.root).is_file() for shard in after)
