"""The benchmark of many shards, in small: each file of a row is a shard of every stage, made once."""

from pathlib import Path

from benchmarks.many_shards import measure


def test_each_small_file_is_a_shard_of_four_stages(tmp_path: Path, tokenizer_folder: Path) -> None:
    first, again = measure(tmp_path, 6, tokenizer_folder)
    assert first > 0 < again
    assert len(list((tmp_path / "home" / "artifacts").rglob("manifest.json"))) == 4 * 6
