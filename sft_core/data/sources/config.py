"""Which files a run reads, what their columns are called, and how much of them takes part."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from sft_core.data.sources.file_kind import FileFormat
from sft_core.section import Section


class SourceSpec(Section):
    """One source of rows: a file, a folder, or several files by a glob."""

    path: str = Field(min_length=1)
    """A file, a glob (`data/**/*.jsonl.gz`), a folder (all data files below it, in order of name), a folder written by
    `datasets.save_to_disk`, or `hf://datasets/<org>/<name>[@revision]/<file or glob>`. Relative to the working
    directory."""
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """What the source is called in the ledger and in every trace; by default the file's name without its endings."""
    file_format: FileFormat | None = None
    """By default told by each file's ending (`.gz`, `.bz2`, `.xz` or `.zst` may follow it)."""
    columns: dict[str, str] = {}
    """Our name of a column → the file's name of it, for example `{prompt: question, completion: answer}`. Others are
    kept as they are."""
    image_folder: str | None = Field(default=None, min_length=1)
    """The folder that images are named in, and that their files may not leave (by `..`, an absolute path or a symbolic
    link), relative to the working directory. By default that of the data file, but none for data of the Hub, of which
    only data files are downloaded."""
    split: Literal["train", "eval"] | None = None
    """`eval` keeps the whole source out of training. Without it, `formats.eval_fraction` decides row by row."""
    fraction: float | None = Field(default=None, gt=0, le=1)
    """Share of the rows that takes part, drawn over the whole source with `seed`, never its first rows. A row stays
    drawn when others are appended. By default all."""
    max_rows: int | None = Field(default=None, ge=1)
    """At most so many rows take part, drawn in the same way. By default all."""
    repeat: float = Field(default=1.0, gt=0, le=10_000)
    """How often each row is in the data set, for mixing sources: 2 doubles this one, 2.5 doubles it and adds a half of
    its rows once more."""
    seed: int = 42
    """Of the draws for `fraction` and `max_rows`. (The rows that the part of `repeat` after the point adds are drawn by
    what they hold, always the same ones.)"""
    transform: str | None = Field(default=None, min_length=1)
    """A function of yours that is given each row as a dictionary and returns a dictionary, a string (taken as the
    column `text`) or None (the row is left out, and counted): `package.module.function` or
    `path/to/file.py:function`."""
    shard_rows: int = Field(default=4096, ge=1, lt=2**31)
    """Rows a shard: the grain of the cache. Appending to a JSON Lines file costs its last shard and the new ones."""

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
