"""Recipe fields of a source: its files, the names of their columns, and the share of rows that is used."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from sft_core.data.sources.file_kind import FileFormat
from sft_core.section import Section


class SourceSpec(Section):
    """One source of rows: a file, a folder, or several files matched by a glob."""

    path: str = Field(min_length=1)
    """A file, a glob (`data/**/*.jsonl.gz`), a folder (all data files below it, in order of name), a folder written by
    `datasets.save_to_disk`, or `hf://datasets/<org>/<name>[@revision]/<file or glob>`. Relative to the working
    directory."""
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the source in the ledger and in every trace; by default the file's name without its endings."""
    file_format: FileFormat | None = None
    """Format of the files. By default it is recognized by each file's ending, which `.gz`, `.bz2`, `.xz` or `.zst` may
    follow."""
    columns: dict[str, str] = {}
    """Columns to rename, as `{new name: name in the file}`, for example `{prompt: question, completion: answer}`. Other
    columns are kept as they are."""
    image_folder: str | None = Field(default=None, min_length=1)
    """Folder that the image paths in rows are relative to, itself relative to the working directory. No image file may
    be outside of it (through `..`, an absolute path or a symbolic link). By default it is the folder of the data file.
    For data of the Hub there is no default, because only data files are downloaded."""
    split: Literal["train", "eval"] | None = None
    """Split of all rows of the source; `eval` keeps the whole source out of training. If unset,
    `formats.eval_fraction` decides row by row."""
    fraction: float | None = Field(default=None, gt=0, le=1)
    """Share of the rows that is used, drawn with `seed` from the whole source, not from its beginning. A row stays
    drawn when others are appended. By default all rows are used."""
    max_rows: int | None = Field(default=None, ge=1)
    """Maximum number of rows that are used, drawn in the same way as for `fraction`. By default all rows are used."""
    repeat: float = Field(default=1.0, gt=0, le=10_000)
    """Number of times that each row is in the data set, for mixing sources. 2 doubles this source; 2.5 doubles it and
    adds half of its rows once more."""
    seed: int = 42
    """Seed of the draws for `fraction` and `max_rows`. (The additional rows for the decimal part of `repeat` are drawn
    by their content, always the same ones.)"""
    transform: str | None = Field(default=None, min_length=1)
    """Your own function that receives each row as a dictionary and returns a dictionary, a string (used as the column
    `text`) or None (the row is skipped and counted). Written as `package.module.function` or
    `path/to/file.py:function`."""
    shard_rows: int = Field(default=4096, ge=1, lt=2**31)
    """Number of rows per shard, the unit of caching. Appending to a JSON Lines file recomputes its last shard and adds
    new ones."""

    @field_validator("columns")
    @classmethod
    def _is_one_to_one(cls, columns: dict[str, str]) -> dict[str, str]:
        taken = sorted({name for name in columns.values() if list(columns.values()).count(name) > 1})
        if taken:
            raise ValueError(f"each column of the file can get one name; {taken} have several")
        return columns

    @property
    def source_name(self) -> str:
        """Name of the source in the ledger and in traces."""
        if self.name:
            return self.name
        stem = Path(self.path).name.split(".")[0]
        return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "source"
