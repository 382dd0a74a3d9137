"""Which template a run uses."""

import shutil
from pathlib import Path

import pytest

from sft_core.data.chat import ChatConfig, TemplateRef, chat_template_of, locate_template
from sft_core.errors import RecipeError
from sft_core.pretrained.tokenizer import TokenizerRef, locate_tokenizer
from sft_core.store.file_digests import FileDigests
from tests.conftest import model_config

from .templates import CHATML


def test_a_template_can_be_bundled_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text("mine")
    assert locate_template(ChatConfig(chat_template_path="chatml")).source == CHATML
    assert locate_template(ChatConfig(chat_template_path=str(tmp_path / "mine.jinja"))).source == "mine"


def test_a_template_may_be_that_of_another_tokenizer(tmp_path: Path) -> None:
    for folder, name, content in (
        ("new", "chat_template.jinja", "new way"),
        ("old", "tokenizer_config.json", '{"chat_template": "old way"}'),
        (
            "many",
            "tokenizer_config.json",
            '{"chat_template": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "by name"}]}',
        ),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(content)
    sources = [
        locate_template(ChatConfig(chat_template_path=str(tmp_path / name))).source for name in ("new", "old", "many")
    ]
    assert sources == ["new way", "old way", "by name"]


def test_a_tokenizer_without_a_template_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(RecipeError, match="expected a tokenizer with a chat template at"):
        locate_template(ChatConfig(chat_template_path=str(tmp_path)))


def test_a_tokenizer_of_the_hub_is_looked_for_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(RecipeError, match="found neither for 'nobody/nothing'"):
        locate_template(ChatConfig(chat_template_path="nobody/nothing"))


def test_without_a_path_the_template_is_left_to_the_tokenizer() -> None:
    assert locate_template(ChatConfig()) == TemplateRef(source=None)


def test_a_missing_template_is_answered_with_the_bundled_names() -> None:
    with pytest.raises(RecipeError, match=r"a bundled name \(chatml, gemma, .*\), .*, found nothing at 'chatmel'"):
        locate_template(ChatConfig(chat_template_path="chatmel"))


def test_the_template_may_write_the_tokenizers_special_tokens(tokenizer_ref: TokenizerRef) -> None:
    template = chat_template_of(ChatConfig(template_date="2026-05-01"), TemplateRef(source="x"), tokenizer_ref)
    assert template is not None
    assert template.special_tokens == (("eos_token", "<|im_end|>"), ("pad_token", "<|pad|>"))
    assert template.date == "2026-05-01"
    assert template.special_texts == ("<|im_end|>", "<|im_start|>", "<|pad|>")


def test_a_tokenizer_without_a_template_has_none(tokenizer_ref: TokenizerRef) -> None:
    assert chat_template_of(ChatConfig(), TemplateRef(), tokenizer_ref) is None


def test_the_tokenizers_own_template_is_used_unless_the_recipe_names_one(
    tokenizer_folder: Path, file_digests: FileDigests, tmp_path: Path
) -> None:
    folder = shutil.copytree(tokenizer_folder, tmp_path / "with-template")
    (folder / "chat_template.jinja").write_text("the tokenizer's own")
    tokenizer = locate_tokenizer(model_config(folder), file_digests)
    own, named = (
        chat_template_of(ChatConfig(), TemplateRef(source=source), tokenizer) for source in (None, "the recipe's")
    )
    assert own is not None
    assert named is not None
    assert (own.source, named.source) == ("the tokenizer's own", "the recipe's")


@pytest.mark.parametrize(("content", "found"), [(b"\n ", "an empty file"), (b"\xe9{{ messages }}", "other bytes")])
def test_a_template_file_without_a_template_is_a_mistake_of_the_recipe(
    tmp_path: Path, content: bytes, found: str
) -> None:
    file = tmp_path / "x.jinja"
    file.write_bytes(content)
    with pytest.raises(RecipeError, match=rf"chat\.chat_template_path: expected a template.* found {found}"):
        locate_template(ChatConfig(chat_template_path=str(file)))
