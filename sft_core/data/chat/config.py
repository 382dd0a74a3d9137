"""How conversations become text, and which parts of it the loss looks at."""

import datetime
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from sft_core.section import Section

ASSISTANT_ONLY = ("assistant",)


class ChatConfig(Section):
    """Template and loss masks. Where several masks are set, the loss looks at what lies in all of them."""

    chat_template_path: str | None = None
    """A `.jinja` or `.j2` file; the name of a bundled template (`chatml`, `gemma`, `llama3`, `mistral`, `phi3`,
    `plain`, `qwen2.5`, `qwen3`); or another tokenizer's folder or Hub id (`org/name`), of which only the template is
    taken: its special tokens are not added to the tokenizer, as TRL would. By default the tokenizer's own."""
    completion_only_loss: bool | None = None
    """Learn only the completion of prompt-completion rows. None: yes for rows that have a prompt and a completion."""
    assistant_only_loss: bool = False
    """Learn only what the assistant says. Rows that are no conversations are rejected."""
    train_on: Literal["auto", "all", "last"] = "auto"
    """Which turns of `train_on_roles` the loss looks at: `all`, or the `last` one only. `auto` means `all` where the
    loss is restricted to turns (by `assistant_only_loss`, by other roles than the assistant's, or by a message's own
    `weight` or `train`), and does not restrict it elsewhere. In such rows a message may have a `weight` (0: context, 1:
    as always, 0.5: half as much) or `train: false`; other roles' messages are context whatever they say."""
    train_on_roles: tuple[str, ...] = Field(default=ASSISTANT_ONLY, min_length=1)
    """Whose turns are learned: of the assistant, its words (with thinking and calls of tools) and the token that ends
    the turn; of others, content and end token. Others than `[assistant]` exclude `assistant_only_loss`."""
    template_date: str | None = Field(default=None, pattern=r"^\d{4}-\d{2}-\d{2}$")
    """The day (YYYY-MM-DD) that a template which asks for today's date is given (by `strftime_now`, or as
    `date_string`): otherwise tomorrow's data would differ from today's."""

    def fingerprint(self) -> dict[str, Any]:
        """All fields but the template's name: a template counts by its text (`TemplateRef`)."""
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
        """Whether the loss of every conversation is restricted to turns."""
        return self.assistant_only_loss or self.train_on != "auto" or self.train_on_roles != ASSISTANT_ONLY
