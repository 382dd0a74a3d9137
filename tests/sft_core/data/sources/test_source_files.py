"""The files of a run's sources, by their bytes."""

from pathlib import Path

from sft_core.data.sources import SourceSpec, locate_sources
from sft_core.data.sources.source_files import SourceFile, digest_of_files, source_files
from sft_core.store.file_digests import FileDigests
from sft_core.store.fingerprint import digest_file


def files_below(folder: Path, digests: FileDigests, pattern: str = "**/*.jsonl") -> list[SourceFile]:
    spec = SourceSpec(path=str(folder / pattern), name="rows", shard_rows=2)
    return source_files(locate_sources((spec,), digests), digests)


def write(path: Path, rows: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"text": "a"}\n' * rows)
    return path


def test_each_file_is_told_once_however_many_pieces_it_has(tmp_path: Path, file_digests: FileDigests) -> None:
    short, long = write(tmp_path / "a.jsonl", 1), write(tmp_path / "deep" / "b.jsonl", 7)
    assert files_below(tmp_path, file_digests) == [
        SourceFile("rows", "a.jsonl", str(short), short.stat().st_size, digest_file(short)),
        SourceFile("rows", "deep/b.jsonl", str(long), long.stat().st_size, digest_file(long)),
    ]


def test_the_digest_of_all_hangs_on_bytes_and_order_and_not_on_places(
    tmp_path: Path, file_digests: FileDigests
) -> None:
    for folder in ("here", "there"):
        write(tmp_path / folder / "a.jsonl", 1)
        write(tmp_path / folder / "b.jsonl", 2)
    here, there = (files_below(tmp_path / folder, file_digests) for folder in ("here", "there"))
    assert digest_of_files(here) == digest_of_files(there)
    assert digest_of_files(here) != digest_of_files(here[::-1])
    write(tmp_path / "there" / "b.jsonl", 3)
    assert digest_of_files(here) != digest_of_files(files_below(tmp_path / "there", file_digests))
