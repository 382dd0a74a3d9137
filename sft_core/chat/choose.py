"""Which template a run uses: the recipe's, else the tokenizer's."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from sft_core.chat.config import ChatConfig
from sft_core.chat.template import ChatTemplate
from sft_core.errors import RecipeError
from sft_core.tokenizer import TokenizerRef, load_tokenizer

BUNDLED = Path(__file__).parent / "templates"


class TemplateRef(BaseModel):
    """The recipe's template by content; None leaves it to the tokenizer, whose own identity covers it."""

    model_config = ConfigDict(frozen=True)

    source: str | None = None

    def fingerprint(self) -> dict[str, Any]:
        """The template's text."""
        return {"source": self.source}


def locate_template(config: ChatConfig) -> TemplateRef:
    """Read the template that the recipe names.

    Raises:
        RecipeError: if there is no such file.
    """
    if config.chat_template_path is None:
        return TemplateRef()
    candidates = [Path(config.chat_template_path).expanduser(), BUNDLED / f"{config.chat_template_path}.jinja"]
    for path in candidates:
        if path.is_file():
            return TemplateRef(source=path.read_text(encoding="utf-8"))
    bundled = ", ".join(sorted(path.stem for path in BUNDLED.glob("*.jinja")))
    raise RecipeError(
        f"chat.chat_template_path: expected a .jinja file or a bundled name ({bundled}), found nothing at "
        f"'{config.chat_template_path}'"
    )


def chat_template_of(config: ChatConfig, template: TemplateRef, tokenizer: TokenizerRef) -> ChatTemplate | None:
    """Bring the template together with the special tokens of the tokenizer; None if there is no template."""
    loaded = load_tokenizer(tokenizer)
    source = template.source or _default_variant(loaded.chat_template)
    if source is None:
        return None
    tokens = {name: str(token) for name, token in loaded.special_tokens_map.items() if isinstance(token, str)}
    return ChatTemplate(source, tuple(sorted(tokens.items())), config.template_date)


def _default_variant(chat_template: Any) -> str | None:
    """Some tokenizers have several templates by name."""
    return chat_template.get("default") if isinstance(chat_template, dict) else chat_template
