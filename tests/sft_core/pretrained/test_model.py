"""The model section, and the identity of a model folder."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sft_core.errors import RecipeError
from sft_core.pretrained.model import ModelConfig, locate_model
from sft_core.store.file_digests import FileDigests
from sft_core.store.fingerprint import digest


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "`path` is needed with `init: pretrained`"),
        ({"path": "m", "config": {"hidden_size": 8}}, "`config` belongs to `init: config`"),
        ({"init": "config", "tokenizer": "t"}, "needs `path`, or `config` with a `model_type`"),
        ({"init": "config", "config": {"model_type": "llama"}}, "`tokenizer` is needed"),
        ({"path": "m", "dtype": "int8"}, "float32"),
        ({"path": "m", "model_init_kwargs": {"torch_dtype": "bfloat16"}}, r"a field of its own, `model\.dtype`"),
        ({"path": "m", "model_init_kwargs": {"revision": "x"}}, r"a field of its own, `model\.revision`"),
        ({"path": "m", "model_init_kwargs": {"load_in_4bit": True}}, "write `quantization_config: {load_in_4bit: true"),
        ({"path": "m", "model_init_kwargs": {"device_map": "auto"}}, "remove this argument"),
        (
            {"path": "m", "init": "config", "model_init_kwargs": {"use_kernels": True}},
            "with `init: config` use `config`",
        ),
        ({"path": "m", "additional_special_tokens": ["<a>", "<a>"]}, "expected different, non-empty texts"),
    ],
    ids=str,
)
def test_a_model_that_is_not_fully_described_is_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        ModelConfig(**fields)


def test_the_tokenizer_is_the_one_that_lies_with_the_model_unless_named() -> None:
    assert ModelConfig(path="m").tokenizer_path == "m"
    assert ModelConfig(path="m", tokenizer="t").tokenizer_path == "t"


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("a model")
    return folder


def identity(folder: Path, digests: FileDigests, **fields: Any) -> str:
    return digest(locate_model(ModelConfig(path=str(folder), **fields), digests))


def test_a_copied_model_is_the_same_model(model_folder: Path, file_digests: FileDigests, tmp_path: Path) -> None:
    copy = shutil.copytree(model_folder, tmp_path / "copy")
    assert identity(copy, file_digests) == identity(model_folder, file_digests)


@pytest.mark.parametrize(
    ("file", "matters"), [("model.safetensors", True), ("config.json", True), ("README.md", False)]
)
def test_a_model_is_its_weights_and_configuration(
    model_folder: Path, file_digests: FileDigests, file: str, matters: bool
) -> None:
    before = identity(model_folder, file_digests)
    (model_folder / file).write_text('{"model_type": "gpt2"}')
    assert (identity(model_folder, file_digests) != before) is matters


@pytest.mark.parametrize(
    "fields", [{"model_init_kwargs": {"max_position_embeddings": 64}}, {"additional_special_tokens": ("<a>",)}]
)
def test_how_a_model_is_loaded_is_part_of_its_identity(
    model_folder: Path, file_digests: FileDigests, fields: dict[str, Any]
) -> None:
    assert identity(model_folder, file_digests, **fields) != identity(model_folder, file_digests)


def test_weights_do_not_matter_where_random_ones_are_drawn(model_folder: Path, file_digests: FileDigests) -> None:
    before = identity(model_folder, file_digests, init="config")
    (model_folder / "model.safetensors").write_bytes(b"other weights")
    assert identity(model_folder, file_digests, init="config") == before


def test_a_model_without_a_path_is_its_configuration(file_digests: FileDigests) -> None:
    one, same, other = (
        ModelConfig(init="config", config={"model_type": "llama", "hidden_size": size}, tokenizer="t")
        for size in (8, 8, 16)
    )
    assert (
        digest(locate_model(one, file_digests))
        == digest(locate_model(same, file_digests))
        != digest(locate_model(other, file_digests))
    )


@pytest.mark.parametrize("path", ["./nowhere", "/nowhere/at/all", "a b"])
def test_a_path_to_nothing_is_an_error_that_names_it(path: str, file_digests: FileDigests) -> None:
    with pytest.raises(RecipeError, match=rf"model\.path: expected a folder or a Hub id, found nothing at '{path}'"):
        locate_model(ModelConfig(path=path), file_digests)


def test_a_folder_without_a_configuration_is_an_error(tmp_path: Path, file_digests: FileDigests) -> None:
    with pytest.raises(RecipeError, match=r"expected a model folder with a config\.json"):
        locate_model(ModelConfig(path=str(tmp_path)), file_digests)
