"""A text longer than the positions that a model knows is a mistake that costs no error: learned positions crash on a
GPU without a word, and rotary ones go on where the model has never been."""

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from sft_core.errors import RecipeError


def max_positions(config: Any) -> int | None:
    """Tokens that a text may have, by the model's configuration; None where it names no limit."""
    found = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(found) if isinstance(found, int) and found > 0 else None


def longest_text(folder: Path) -> int:
    """Tokens of the longest text in a split's folder, whatever block it lies in; 0 without any. Reads lengths only."""
    # as `datasets.load_from_disk` does, whose import takes a second
    names = [file["filename"] for file in orjson.loads((folder / "state.json").read_bytes())["_data_files"]]
    chunks = [chunk for name in names for chunk in _table(folder / name).column("seq_lengths").chunks]
    return max((int(pc.max(chunk.flatten()).as_py() or 0) for chunk in chunks), default=0)


def _table(file: Path) -> pa.Table:
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_stream(source).read_all()


def check_positions(limit: int | None, longest: int) -> None:
    """Compare the longest text with the model's limit.

    Raises:
        RecipeError: with both numbers and what to change.
    """
    if limit is not None and longest > limit:
        raise RecipeError(
            f"model: it has {limit:,} positions, and the longest text has {longest:,} tokens; set tokens.max_length to "
            f"{limit} or less, or give the model more (`max_position_embeddings` in model.model_init_kwargs, or in "
            "model.config with `init: config`)"
        )
