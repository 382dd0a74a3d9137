"""A model that lies in a folder, by content: what it is keyed on, wherever it came from."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sft_core.errors import RecipeError
from sft_core.store.file_digests import FileDigests

WITHOUT_EFFECT = {".md", ".txt", ".png", ".lock"}
"""Endings of what lies beside a model for people."""


class ModelContent(BaseModel):
    """A folder that `from_pretrained` takes, or of an adapter with its base."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    content_digest: str

    def fingerprint(self) -> str:
        """What lies in it; not where it lies."""
        return self.content_digest


def locate_content(folder: Path, digests: FileDigests) -> ModelContent:
    """Digest all files of a model: weights, configuration, tokenizer, template, and the base of an adapter.

    Raises:
        RecipeError: if no tokenizer lies there.
    """
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.suffix not in WITHOUT_EFFECT]
    if not any(file.name.startswith("tokenizer") for file in files):
        raise RecipeError(f"model: expected a model with its tokenizer in '{folder}', found no tokenizer")
    return ModelContent(folder=folder, content_digest=digests.of_folder(folder, files))
