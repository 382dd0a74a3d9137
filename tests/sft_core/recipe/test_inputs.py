"""Everything outside that the data of a run hangs on."""

from pathlib import Path
from typing import Any

import pytest

from sft_core.errors import UserError
from sft_core.recipe import Recipe
from sft_core.recipe.inputs import locate_inputs
from sft_core.store.file_digests import FileDigests
from sft_core.store.fingerprint import digest
from tests.vision_families import FAMILIES


@pytest.fixture
def content(tokenizer_folder: Path, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "train.jsonl").write_text('{"text": "a"}\n')
    model = {"init": "config", "config": {"model_type": "llama"}, "tokenizer": str(tokenizer_folder)}
    return {"name": "tiny", "model": model, "sources": [{"path": str(tmp_path / "train.jsonl")}]}


def identity(content: dict[str, Any], digests: FileDigests) -> str:
    return digest(locate_inputs(Recipe.model_validate(content), digests))


def test_sources_template_and_tokenizer_are_the_inputs(
    content: dict[str, Any], file_digests: FileDigests, tmp_path: Path
) -> None:
    before = identity(content, file_digests)
    assert identity({**content, "chat": {"chat_template_path": "chatml"}}, file_digests) != before
    (tmp_path / "train.jsonl").write_text('{"text": "b"}\n')
    assert identity(content, file_digests) != before


def test_the_image_processor_beside_the_tokenizer_is_an_input(
    content: dict[str, Any], file_digests: FileDigests, tmp_path: Path
) -> None:
    assert locate_inputs(Recipe.model_validate(content), file_digests).processor is None
    folder = FAMILIES["gemma3"].save_processor(tmp_path / "model")
    content = {**content, "model": {**content["model"], "tokenizer": str(folder)}}
    before = identity(content, file_digests)
    assert locate_inputs(Recipe.model_validate(content), file_digests).processor is not None
    config = folder / "processor_config.json"
    config.write_text(config.read_text().replace('"image_seq_length": 4', '"image_seq_length": 9'))
    assert identity(content, file_digests) != before


def test_what_only_training_reads_is_not_among_them(content: dict[str, Any], file_digests: FileDigests) -> None:
    other = {**content, "training": {"seed": 7}, "runtime": {"num_processes": 2}, "tokens": {"max_length": 8}}
    assert identity(other, file_digests) == identity(content, file_digests)


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"sources": [{"path": "/nowhere.jsonl"}]}, "/nowhere.jsonl"),
        ({"chat": {"chat_template_path": "/nowhere.jinja"}}, "/nowhere.jinja"),
        ({"model": {"path": "/nowhere"}}, "/nowhere"),
    ],
)
def test_a_missing_input_is_a_mistake_that_names_it(
    content: dict[str, Any], file_digests: FileDigests, section: dict[str, Any], named: str
) -> None:
    with pytest.raises(UserError, match=named):
        locate_inputs(Recipe.model_validate({**content, **section}), file_digests)
