"""How conversations become text, and which parts of it the loss looks at."""

from pydantic import Field

from sft_core.section import Section


class ChatConfig(Section):
    """Template and loss masks."""

    chat_template_path: str | None = None
    """A `.jinja` file, or the name of a bundled template (`chatml`). By default the tokenizer's own."""
    completion_only_loss: bool | None = None
    """Learn only the completion of prompt-completion rows. None: yes for rows that have a prompt and a completion."""
    assistant_only_loss: bool = False
    """Learn only what the assistant says. Rows that are no conversations are rejected."""
    template_date: str | None = Field(default=None, pattern=r"^\d{4}-\d{2}-\d{2}$")
    """The day (YYYY-MM-DD) that a template which asks for today's date is given: otherwise tomorrow's data would
    differ from today's."""
