"""The `chat` section of the recipe: how conversations become text, and which parts of the text the loss covers."""

import datetime
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from sft_core.section import Section

ASSISTANT_ONLY = ("assistant",)


class ChatConfig(Section):
    """Chat template and loss masks. If several masks are set, the loss covers only tokens that all of them include."""

    chat_template_path: str | None = None
    """Chat template: a `.jinja` or `.j2` file; the name of a bundled template (`chatml`, `gemma`, `llama3`, `mistral`,
    `phi3`, `plain`, `qwen2.5`, `qwen3`); or another tokenizer's folder or Hub id (`org/name`). Only the template is
    taken from another tokenizer; unlike in TRL, its special tokens are not added. None: the tokenizer's own template.
    """
    completion_only_loss: bool | None = None
    """Compute the loss only on the completion of prompt-completion rows. None: true for rows that have a prompt and a
    completion."""
    assistant_only_loss: bool = False
    """Compute the loss only on the assistant's turns. Rows that are not conversations are rejected."""
    train_on: Literal["auto", "all", "last"] = "auto"
    """Turns of `train_on_roles` that the loss covers: `all`, or only the `last` one. `auto` means `all` if the loss is
    restricted to turns (by `assistant_only_loss`, by roles other than `[assistant]`, or by a message's own `weight` or
    `train`); otherwise `auto` restricts nothing. In rows restricted to turns a message may have a `weight` (0: context
    only, 1: the default, 0.5: half the loss) or `train: false`. Messages of other roles are always context, even if
    they have a `weight` or `train`."""
    train_on_roles: tuple[str, ...] = Field(default=ASSISTANT_ONLY, min_length=1)
    """Roles whose turns the loss covers. Of an assistant turn it covers the generated text (with thinking and tool
    calls) and the token that ends the turn; of other turns, the content and the end token. Any value other than
    `[assistant]` excludes `assistant_only_loss`."""
    template_date: str | None = Field(default=None, pattern=r"^\d{4}-\d{2}-\d{2}$")
    """Date (YYYY-MM-DD) passed to templates that ask for today's date (through `strftime_now` or `date_string`). A
    fixed date keeps the data the same from one day to the next."""

    def fingerprint(self) -> dict[str, Any]:
        """Return all fields except the template's name: a template is identified by its text (`TemplateRef`)."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "chat_template_path"}

    @field_validator("template_date")
    @classmethod
    def _is_a_day(cls, text: str | None) -> str | None:
        if text is not None:
            datetime.date.fromisoformat(text)
        return text

    @model_validator(mode="after")
    def _masks_agree(self) -> Self:
        if self.assistant_only_loss and self.train_on_roles != ASSISTANT_ONLY:
            raise ValueError("`assistant_only_loss` and `train_on_roles` contradict each other; set one of them")
        return self

    @property
    def masks_turns(self) -> bool:
        """True if the loss of every conversation is restricted to turns."""
        return self.assistant_only_loss or self.train_on != "auto" or self.train_on_roles != ASSISTANT_ONLY
