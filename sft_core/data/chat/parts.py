"""Convert contents to the form that the template reads: a string, or a list of parts:
`[{"type": "text", "text": …}, {"type": "image"}]`.

Most templates read strings, those of vision models read parts, and some read both. A template that is given the wrong
form writes the list as Python prints it, or nothing at all.
"""

from typing import Any

from sft_core.data.chat.contents import in_parts
from sft_core.data.chat.grammar import Grammar
from sft_core.data.chat.template import TemplateRefusedError
from sft_core.store.records import Message

UNREADABLE = "a message has parts that are no text (images), and the chat template reads only text"


def with_readable_contents(grammar: Grammar, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Convert strings to parts, or parts to strings, if the template reads only the other form.

    Raises:
        TemplateRefusedError: if some parts are not text (images), and the template does not read parts.
    """
    if grammar.reads_only_parts:
        return tuple({**message, "content": in_parts(message.get("content"))} for message in messages)
    if grammar.reads_parts or all(not isinstance(message.get("content"), list) for message in messages):
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
