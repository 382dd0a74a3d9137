"""The files that a run read, each by the digest of its bytes: what a run is found by when only a file is at hand.

    data/gsm8k.jsonl   →   source gsm8k, gsm8k.jsonl, 4,166,206 bytes, 0f3c…

The digest is `digest_file`'s, the same that `FileDigests` remembers, so that it can be computed from a file wherever it
lies now. Pieces have digests of their own, which hang on `shard_rows`; a whole file's takes one more reading, the
first time.
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
    """The name in ledger and traces."""
    file: str
    """Its name below the source's folder: what rows and lines are counted in."""
    path: str
    """Where it lay, absolute."""
    num_bytes: int
    digest: str
    """Of its bytes as they lie on disk."""


def source_files(sources: Sequence[LocatedSource], digests: FileDigests) -> list[SourceFile]:
    """List the files of all sources, in the order in which they are read."""
    places = [(source.name, path, names) for source in sources if (names := _names(source)) for path in source.files]
    found = digests.of_files([path for _, path, _ in places])
    return [
        SourceFile(source, names.get(path, path.name), str(path.absolute()), path.stat().st_size, digest)
        for (source, path, names), digest in zip(places, found, strict=True)
    ]


def digest_of_files(files: Sequence[SourceFile]) -> str:
    """Digest what files hold and which source each belongs to: equal if the same sources hold the same bytes in the
    same order, wherever they lie."""
    return digest([[file.source, file.digest] for file in files])


def _names(source: LocatedSource) -> dict[Path, str]:
    """The name of each file that has rows, below the source's folder."""
    return {member.path: member.file for piece in source.pieces for member in piece.members}
