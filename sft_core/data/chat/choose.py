"""Choose the chat template of a run: the recipe's, otherwise the tokenizer's."""

from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from sft_core.data.chat.config import ChatConfig
from sft_core.data.chat.template import ChatTemplate
from sft_core.errors import RecipeError
from sft_core.pretrained.hub import download_snapshot, looks_like_repo, resolve_commit
from sft_core.pretrained.processor import ImageTokens
from sft_core.pretrained.tokenizer import TokenizerRef, contents_of

BUNDLED = Path(__file__).parent / "templates"
TEMPLATE_SUFFIXES = (".jinja", ".j2")
TEMPLATE_FILES = ["chat_template.jinja", "chat_template.json", "tokenizer_config.json"]
"""Files in which tokenizers store their template, the newest convention first."""


class TemplateRef(BaseModel):
    """Text of the recipe's template. None if the tokenizer's own template is used, which the tokenizer's identity
    covers."""

    model_config = ConfigDict(frozen=True)

    source: str | None = None

    def fingerprint(self) -> dict[str, Any]:
        """Return the template's text."""
        return {"source": self.source}


def locate_template(config: ChatConfig) -> TemplateRef:
    """Read the template that the recipe names.

    Raises:
        RecipeError: if the name is neither a template file nor a tokenizer with a chat template.
    """
    name = config.chat_template_path
    if name is None:
        return TemplateRef()
    path = Path(name).expanduser()
    for file in (path, BUNDLED / f"{name}.jinja"):
        if file.is_file():
            return TemplateRef(source=_read(file))
    if path.is_dir():
        return TemplateRef(source=_template_in(path, name))
    if "/" in name and looks_like_repo(name) and path.suffix not in TEMPLATE_SUFFIXES:
        folder = download_snapshot(name, resolve_commit(name, None), TEMPLATE_FILES)
        return TemplateRef(source=_template_in(folder, name))
    bundled = ", ".join(sorted(file.stem for file in BUNDLED.glob("*.jinja")))
    raise RecipeError(
        f"chat.chat_template_path: expected a .jinja file, a bundled name ({bundled}), or a tokenizer's folder or Hub "
        f"id (org/name), found nothing at '{name}'"
    )


def _read(file: Path) -> str:
    try:
        source = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"chat.chat_template_path: expected a template in UTF-8, found other bytes in '{file}'"
        ) from error
    if not source.strip():
        raise RecipeError(f"chat.chat_template_path: expected a template, found an empty file at '{file}'")
    return source


def replaces_own_template(template: TemplateRef, tokenizer: TokenizerRef) -> bool:
    """Return True if the recipe's template differs from the one stored with the tokenizer."""
    own = _find_template(tokenizer.folder)
    return template.source is not None and own is not None and template.source != own


def has_template(folder: Path) -> bool:
    """Return True if a tokenizer's folder contains a chat template."""
    return _find_template(folder) is not None


def _template_in(folder: Path, name: str) -> str:
    template = _find_template(folder)
    if template is None:
        raise RecipeError(f"chat.chat_template_path: expected a tokenizer with a chat template at '{name}', found none")
    return template


def _find_template(folder: Path) -> str | None:
    for file in (folder / file for file in TEMPLATE_FILES):
        if not file.is_file():
            continue
        text = file.read_text(encoding="utf-8")
        template = text if file.suffix == ".jinja" else _default_variant(orjson.loads(text).get("chat_template"))
        if template:
            return template
    return None


def chat_template_of(
    config: ChatConfig, template: TemplateRef, tokenizer: TokenizerRef, image_tokens: ImageTokens | None = None
) -> ChatTemplate | None:
    """Combine the template with the tokenizer's special tokens; None if there is no template.

    Args:
        config: The recipe's `chat` section.
        template: The recipe's template.
        tokenizer: Its folder may contain a template, either its own or that of the processor stored with it.
        image_tokens: Tokens that represent images, if the run has any; not every tokenizer declares them as special.
    """
    contents = contents_of(tokenizer)
    source = template.source or _find_template(tokenizer.folder) or _default_variant(contents.chat_template)
    if source is None:
        return None
    of_images = image_tokens.spellings if image_tokens else ()
    specials = sorted({*contents.special_texts, *of_images})
    return ChatTemplate(source, tuple(sorted(contents.special_tokens.items())), config.template_date, tuple(specials))


def _default_variant(chat_template: Any) -> str | None:
    """Return the template named `default` if a tokenizer has several named templates."""
    if isinstance(chat_template, list):  # the form in which tokenizer files store named templates
        chat_template = {variant["name"]: variant["template"] for variant in chat_template}
    return chat_template.get("default") if isinstance(chat_template, dict) else chat_template
