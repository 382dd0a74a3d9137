"""From files to records: read every row once, number it, and cut the stream into shards that the cache can hold on to.

    train.jsonl, 10,000 rows, shard_rows 4096  →  train-00000 (4096)  train-00001 (4096)  train-00002 (1808)

A record is one JSON object per row, kept as text: columns that some rows lack, nested values of mixed types and nulls
come out of it as they went in, which no typed table can promise. Each shard's digest is over row numbers and contents,
so the same rows give the same digest in any file and folder, and appending to a file leaves the digests of its full
shards alone.
"""

from sft_core.sources.config import SourceSpec
from sft_core.sources.ingest import ingest
from sft_core.sources.locate import LocatedSource, SourceFile, locate_sources

__all__ = ["LocatedSource", "SourceFile", "SourceSpec", "ingest", "locate_sources"]
