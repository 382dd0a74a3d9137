"""A model's identity: what lies in its folder, and nothing of where it lies."""

import shutil
from pathlib import Path

import pytest

from sft_core.errors import RecipeError
from sft_core.pretrained.model_content import locate_content
from sft_core.store.file_digests import FileDigests
from sft_core.store.fingerprint import digest


def write(folder: Path) -> Path:
    (folder / "base_model").mkdir(parents=True)
    for name in ("adapter_config.json", "tokenizer.json", "base_model/model.safetensors", "README.md"):
        (folder / name).write_text("{}")
    return folder


def test_a_copy_is_the_same_model_and_a_changed_base_another(tmp_path: Path, file_digests: FileDigests) -> None:
    first = write(tmp_path / "first")
    second = tmp_path / "elsewhere"
    shutil.copytree(first, second)
    keys = [digest(locate_content(folder, file_digests)) for folder in (first, second)]
    assert keys[0] == keys[1]
    (second / "README.md").write_text("for people")
    assert digest(locate_content(second, file_digests)) == keys[0]
    (second / "base_model" / "model.safetensors").write_text("[]")
    assert digest(locate_content(second, file_digests)) != keys[0]


def test_a_model_without_a_tokenizer_cannot_be_measured(tmp_path: Path, file_digests: FileDigests) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RecipeError, match="found no tokenizer"):
        locate_content(tmp_path, file_digests)
