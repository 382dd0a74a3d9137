"""Contents in parts, `[{"type": "text", "text": …}, {"type": "image"}]`: as they are for templates that read them, as
one text for those that do not."""

from typing import Any

from sft_core.chat.grammar import Grammar
from sft_core.chat.layout import probe
from sft_core.chat.template import TemplateRefusedError
from sft_core.records import Conversation, Message

UNREADABLE = "a message has parts that are no text, and the chat template reads only text"


def with_readable_contents(grammar: Grammar, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Join parts of text where the template would not read them.

    Raises:
        TemplateRefusedError: if there are other parts (images), and the template does not read them either.
    """
    if all(not isinstance(message.get("content"), list) for message in messages) or _reads_parts(grammar):
        return messages
    return tuple({**message, "content": _joined(message.get("content"))} for message in messages)


def _joined(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    parts = [part.get("text") if isinstance(part, dict) else part for part in content]
    texts = [text for text in parts if isinstance(text, str)]
    if len(texts) < len(parts):
        raise TemplateRefusedError(UNREADABLE)
    return "".join(texts)


def _reads_parts(grammar: Grammar) -> bool:
    """Whether a text in parts becomes the same as a text."""
    plain, nothing = probe(["user"]), Conversation(())
    in_parts = [{"role": "user", "content": [{"type": "text", "text": plain[0]["content"]}]}]
    try:
        return grammar.render(nothing, in_parts) == grammar.render(nothing, plain)
    except TemplateRefusedError:
        return False
