"""A text longer than the positions that a model knows is a mistake that costs no error: learned positions crash on a
GPU without a word, and rotary ones go on where the model has never been."""

from pathlib import Path
from typing import Any

from sft_core.errors import RecipeError


def max_positions(config: Any) -> int | None:
    """Tokens that a text may have, by the model's configuration; None where it names no limit."""
    found = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(found) if isinstance(found, int) and found > 0 else None


def longest_text(folder: Path) -> int:
    """Tokens of the longest text in a split's folder, whatever block it lies in; 0 without any. Reads lengths only."""
    import pyarrow.compute as pc
    from datasets import load_from_disk

    lengths = load_from_disk(str(folder)).data.column("seq_lengths")
    return max((int(pc.max(chunk.flatten()).as_py() or 0) for chunk in lengths.chunks), default=0)


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
