"""Check that no text is longer than the number of positions of the model.

Without this check the mistake is hard to see: learned position embeddings crash on a GPU without a helpful message, and
rotary ones silently continue at positions that the model was never trained on.
"""

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from sft_core.errors import RecipeError


def max_positions(config: Any) -> int | None:
    """Return the maximal number of tokens of a text in the model's configuration; None if it sets no limit."""
    found = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(found) if isinstance(found, int) and found > 0 else None


def longest_text(folder: Path) -> int:
    """Return the number of tokens of the longest text in the folder of a split; 0 if it is empty.

    Only the column with the lengths is read; a block may contain several texts.
    """
    # reads the files as `datasets.load_from_disk` does, without the second that importing `datasets` takes
    names = [file["filename"] for file in orjson.loads((folder / "state.json").read_bytes())["_data_files"]]
    chunks = [chunk for name in names for chunk in _table(folder / name).column("seq_lengths").chunks]
    return max((int(pc.max(chunk.flatten()).as_py() or 0) for chunk in chunks), default=0)


def _table(file: Path) -> pa.Table:
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_stream(source).read_all()


def check_positions(limit: int | None, longest: int) -> None:
    """Compare the longest text with the model's limit.

    Raises:
        RecipeError: if the text is longer; the message has both numbers and what to change.
    """
    if limit is not None and longest > limit:
        raise RecipeError(
            f"model: it has {limit:,} positions, and the longest text has {longest:,} tokens; set tokens.max_length to "
            f"{limit} or less, or give the model more (`max_position_embeddings` in model.model_init_kwargs, or in "
            "model.config with `init: config`)"
        )
