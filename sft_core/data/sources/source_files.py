"""Files that a run read, each with the digest of its bytes, so that a run can be found from a file alone.

    data/gsm8k.jsonl   →   source gsm8k, gsm8k.jsonl, 4,166,206 bytes, 0f3c…

The digest is the result of `digest_file`, which `FileDigests` also remembers, so that it can be computed from a file
wherever it is now. Pieces have digests of their own, which depend on `shard_rows`; the digest of a whole file takes one
more reading, the first time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sft_core.data.sources import LocatedSource
from sft_core.store.file_digests import FileDigests
from sft_core.store.fingerprint import digest


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source."""

    source: str
    """Name of the source in the ledger and in traces."""
    file: str
    """Name of the file, relative to the source's folder; rows and lines are counted per file."""
    path: str
    """Absolute path of the file when it was read."""
    num_bytes: int
    digest: str
    """Digest of its bytes as stored on disk."""


def source_files(sources: Sequence[LocatedSource], digests: FileDigests) -> list[SourceFile]:
    """List the files of all sources, in the order in which they are read."""
    places = [(source.name, path, names) for source in sources if (names := _names(source)) for path in source.files]
    found = digests.of_files([path for _, path, _ in places])
    return [
        SourceFile(source, names.get(path, path.name), str(path.absolute()), path.stat().st_size, digest)
        for (source, path, names), digest in zip(places, found, strict=True)
    ]


def digest_of_files(files: Sequence[SourceFile]) -> str:
    """Digest the content of files and the source that each belongs to. The digest is equal if the same sources hold the
    same bytes in the same order, whatever the paths."""
    return digest([[file.source, file.digest] for file in files])


def _names(source: LocatedSource) -> dict[Path, str]:
    """Return the name of each file that has rows, relative to the source's folder."""
    return {member.path: member.file for piece in source.pieces for member in piece.members}
