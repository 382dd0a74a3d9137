"""A model in a local folder, identified by the content of its files, wherever it came from."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sft_core.errors import RecipeError
from sft_core.store.file_digests import FileDigests

WITHOUT_EFFECT = {".md", ".txt", ".png", ".lock"}
"""Suffixes of files that are stored with a model but do not affect it, such as a README."""


class ModelContent(BaseModel):
    """A model folder that `from_pretrained` accepts, or the folder of an adapter with its base model."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    content_digest: str

    def fingerprint(self) -> str:
        """Return the digest of the content; the path is not part of it."""
        return self.content_digest


def locate_content(folder: Path, digests: FileDigests) -> ModelContent:
    """Digest all files of a model: weights, configuration, tokenizer, template, and the base of an adapter.

    Raises:
        RecipeError: if the folder contains no tokenizer.
    """
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.suffix not in WITHOUT_EFFECT]
    if not any(file.name.startswith("tokenizer") for file in files):
        raise RecipeError(f"model: expected a model with its tokenizer in '{folder}', found no tokenizer")
    return ModelContent(folder=folder, content_digest=digests.of_folder(folder, files))
