"""Identity as behaviour: what changes the key of an artifact, and what must not."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from sft_core.data.chat import ChatConfig, TemplateRef, locate_template
from sft_core.data.formats import FormatsConfig
from sft_core.data.images import ImagesConfig
from sft_core.data.sources import SourceSpec, locate_sources
from sft_core.data.tokens import TokensConfig
from sft_core.pretrained.tokenizer import TokenizerRef, locate_tokenizer
from sft_core.recipe import Recipe
from sft_core.store.artifact import plan_artifact
from sft_core.store.file_digests import FileDigests
from sft_core.store.fingerprint import Placement
from sft_core.store.records import ShardRef
from tests.conftest import model_config

SHARD = ShardRef(source="train", split=None, number=0, path="a/train-00000.arrow", rows=3, content_digest="abc")


def key_of(**inputs: Any) -> str:
    return plan_artifact("stage", "name", inputs).ref.key


def source_key(digests: FileDigests, path: Path, **spec: Any) -> str:
    return key_of(sources=locate_sources((SourceSpec(path=str(path), **spec),), digests))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b"}\n')
    return path


def test_one_byte_of_the_input_changes_the_key(file: Path, file_digests: FileDigests) -> None:
    before = source_key(file_digests, file)
    file.write_text('{"text": "a"}\n{"text": "c"}\n')
    assert source_key(file_digests, file) != before


def test_the_same_bytes_in_another_folder_keep_the_key(file: Path, file_digests: FileDigests, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    copy = shutil.copy(file, tmp_path / "elsewhere" / "train.jsonl")
    assert source_key(file_digests, Path(copy)) == source_key(file_digests, file)


def test_the_same_bytes_under_another_file_name_keep_the_key_of_a_named_source(
    file: Path, file_digests: FileDigests, tmp_path: Path
) -> None:
    copy = shutil.copy(file, tmp_path / "renamed.jsonl")
    assert source_key(file_digests, Path(copy), name="train") == source_key(file_digests, file, name="train")


def test_a_touched_file_keeps_the_key(file: Path, file_digests: FileDigests) -> None:
    before = source_key(file_digests, file)
    file.touch()
    assert source_key(file_digests, file) == before


def test_a_glob_and_a_path_to_the_same_file_have_one_key(file: Path, file_digests: FileDigests) -> None:
    assert source_key(file_digests, file.parent / "tr*.jsonl", name="train") == source_key(
        file_digests, file, name="train"
    )


def test_the_folder_of_images_keeps_the_key_of_the_rows(file: Path, file_digests: FileDigests, tmp_path: Path) -> None:
    with_folder = source_key(file_digests, file, image_folder=str(tmp_path))
    assert with_folder == source_key(file_digests, file), "images count where they are gathered, by what they hold"


def test_the_format_spelled_out_keeps_the_key(file: Path, file_digests: FileDigests) -> None:
    assert source_key(file_digests, file, file_format="jsonl") == source_key(file_digests, file)


@pytest.mark.parametrize(
    "spec",
    [{"name": "other"}, {"split": "eval"}, {"shard_rows": 1}, {"columns": {"prompt": "text"}}, {"file_format": "txt"}],
    ids=lambda spec: next(iter(spec)),
)
def test_a_field_of_a_source_changes_the_key(file: Path, file_digests: FileDigests, spec: dict[str, Any]) -> None:
    assert source_key(file_digests, file, **spec) != source_key(file_digests, file)


@pytest.mark.parametrize(
    ("section", "changed"),
    [
        (FormatsConfig(), FormatsConfig(eval_fraction=0.1)),
        (FormatsConfig(), FormatsConfig(split_seed=1)),
        (ImagesConfig(), ImagesConfig(max_pixels=1)),
        (ChatConfig(), ChatConfig(assistant_only_loss=True)),
        (ChatConfig(), ChatConfig(template_date="2026-01-01")),
        (TokensConfig(), TokensConfig(max_length=64)),
        (TokensConfig(), TokensConfig(max_length=None)),
    ],
)
def test_a_field_of_a_section_changes_the_key(section: object, changed: object) -> None:
    assert key_of(config=section) != key_of(config=changed)


def test_a_default_spelled_out_keeps_the_key() -> None:
    assert key_of(config=TokensConfig(max_length=1024)) == key_of(config=TokensConfig())


def test_a_shard_is_its_source_split_and_content() -> None:
    moved = SHARD.model_copy(update={"path": "b/train-00007.arrow", "number": 7})
    assert key_of(shard=moved) == key_of(shard=SHARD)
    for field, value in {"source": "other", "split": "train", "content_digest": "abd"}.items():
        assert key_of(shard=SHARD.model_copy(update={field: value})) != key_of(shard=SHARD)


def test_a_copied_tokenizer_keeps_the_key(
    tokenizer_folder: Path, tokenizer_ref: TokenizerRef, file_digests: FileDigests, tmp_path: Path
) -> None:
    copy = shutil.copytree(tokenizer_folder, tmp_path / "copy")
    assert key_of(tokenizer=locate_tokenizer(model_config(copy), file_digests)) == key_of(tokenizer=tokenizer_ref)


def test_one_byte_of_the_tokenizer_changes_the_key(
    tokenizer_folder: Path, tokenizer_ref: TokenizerRef, file_digests: FileDigests, tmp_path: Path
) -> None:
    copy = shutil.copytree(tokenizer_folder, tmp_path / "copy")
    with (copy / "tokenizer.json").open("a") as file:
        file.write("\n")
    assert key_of(tokenizer=locate_tokenizer(model_config(copy), file_digests)) != key_of(tokenizer=tokenizer_ref)


def test_weights_beside_the_tokenizer_keep_its_key(
    tokenizer_folder: Path, tokenizer_ref: TokenizerRef, file_digests: FileDigests, tmp_path: Path
) -> None:
    copy = shutil.copytree(tokenizer_folder, tmp_path / "copy")
    (copy / "model.safetensors").write_bytes(b"weights")
    (copy / "config.json").write_text("{}")
    assert key_of(tokenizer=locate_tokenizer(model_config(copy), file_digests)) == key_of(tokenizer=tokenizer_ref)


def test_versions_of_the_tokenizer_libraries_are_in_the_key(tokenizer_ref: TokenizerRef) -> None:
    assert {"tokenizers", "tiktoken", "transformers", "jinja2"} <= tokenizer_ref.fingerprint().keys()


def test_a_template_counts_by_its_text_not_by_its_path(tmp_path: Path) -> None:
    bundled = locate_template(ChatConfig(chat_template_path="chatml"))
    copy = tmp_path / "mine.jinja"
    copy.write_text(bundled.source or "")
    assert key_of(template=locate_template(ChatConfig(chat_template_path=str(copy)))) == key_of(template=bundled)
    assert key_of(template=TemplateRef()) != key_of(template=bundled)


def test_runtime_knobs_are_a_section_of_their_own_that_never_enters_a_key() -> None:
    content = {"name": "a", "model": {"path": "m"}, "sources": [{"path": "a.jsonl"}]}
    plain, tuned = (
        Recipe.model_validate({**content, "runtime": runtime}) for runtime in ({}, {"home": "/x", "num_processes": 8})
    )
    assert isinstance(tuned.runtime, Placement)
    sections = [
        {name: getattr(recipe, name) for name in Recipe.model_fields if name != "runtime"} for recipe in (plain, tuned)
    ]
    assert key_of(**sections[0]) == key_of(**sections[1])
    assert not any(isinstance(section, Placement) for section in sections[1].values())
