"""Which files a run reads, and what their columns are called."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from sft_core.section import Section

FileFormat = Literal["jsonl", "json", "csv", "parquet", "txt"]


class SourceSpec(Section):
    """One source of rows: a file, or several by a glob."""

    path: str = Field(min_length=1)
    """A file, a glob (`data/*.jsonl.gz`), or `hf://datasets/<org>/<name>[@revision]/<file or glob>`. Relative to the
    working directory."""
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """What the source is called in the ledger and in every trace; by default the file's name without its endings."""
    file_format: FileFormat | None = None
    """By default told by the file's ending (`.gz` may follow it)."""
    columns: dict[str, str] = {}
    """Our name of a column → the file's name of it, for example `{prompt: question, completion: answer}`. Others are
    kept as they are."""
    split: Literal["train", "eval"] | None = None
    """`eval` keeps the whole source out of training. Without it, `formats.eval_fraction` decides row by row."""
    shard_rows: int = Field(default=4096, ge=1)
    """Rows a shard: the grain of the cache. Appending to a file costs its last shard and the new ones."""

    @field_validator("columns")
    @classmethod
    def _is_one_to_one(cls, columns: dict[str, str]) -> dict[str, str]:
        taken = sorted({name for name in columns.values() if list(columns.values()).count(name) > 1})
        if taken:
            raise ValueError(f"each column of the file can get one name; {taken} have several")
        return columns

    @property
    def source_name(self) -> str:
        """The name in ledger and traces."""
        if self.name:
            return self.name
        stem = Path(self.path).name.split(".")[0]
        return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "source"
