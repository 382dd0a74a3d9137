"""Digests that decide whether the scores of two models are comparable."""

import hashlib
from pathlib import Path

import numpy as np

from sft_core.store.fingerprint import KEY_HEX_DIGITS, digest, digest_file
from sft_core.store.tables import read_table

TEMPLATES = ("chat_template.jinja", "additional_chat_templates/*.jinja")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "merges.txt")


def template_digest(model_folder: Path) -> str:
    """Digest a model's chat templates; a model without a template has a digest too."""
    return _digest(model_folder, TEMPLATES)


def tokenizer_digest(model_folder: Path) -> str:
    """Digest the files that map text to token ids, without the tokenizer's configuration."""
    return _digest(model_folder, TOKENIZERS)


def rows_digest(segments: Path) -> str | None:
    """Digest the set of held-out rows by their content before template and tokenizer; their order does not matter.

    Args:
        segments: File of a split with the columns of `SEGMENTS`.

    Returns:
        The digest; None if rows have no `example_id`, or if the file does not exist.
    """
    if not segments.exists():
        return None
    examples = read_table(segments)["example_id"]
    if examples.null_count:
        return None
    ids = np.unique(examples.to_numpy().astype("<u8"))
    return hashlib.blake2b(ids.tobytes(), digest_size=KEY_HEX_DIGITS // 2).hexdigest()


def _digest(folder: Path, patterns: tuple[str, ...]) -> str:
    files = sorted(file for pattern in patterns for file in folder.glob(pattern))
    return digest({file.relative_to(folder).as_posix(): digest_file(file) for file in files})
