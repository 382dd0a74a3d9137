"""Contents in the form that the template reads: a text, or parts: `[{"type": "text", "text": …}, {"type": "image"}]`.

Most templates read texts, those of vision models parts, some both. A template that is given the other form writes the
list as Python prints it, or nothing at all.
"""

import functools
from typing import Any

from sft_core.chat.grammar import Grammar
from sft_core.chat.layout import mark, split_at_marks
from sft_core.chat.template import TemplateRefusedError
from sft_core.records import Conversation, Message

UNREADABLE = "a message has parts that are no text, and the chat template reads only text"


def with_readable_contents(grammar: Grammar, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Turn texts into parts or parts into texts, where the template reads only the other.

    Raises:
        TemplateRefusedError: if there are parts that are no text (images), and the template does not read parts.
    """
    reads_parts = _reads(grammar, in_parts=True)
    if reads_parts and not _reads(grammar, in_parts=False):
        return tuple({**message, "content": _in_parts(message.get("content"))} for message in messages)
    if reads_parts or all(not isinstance(message.get("content"), list) for message in messages):
        return messages
    return tuple({**message, "content": _joined(message.get("content"))} for message in messages)


def _in_parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _joined(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    parts = [part.get("text") if isinstance(part, dict) else part for part in content]
    texts = [text for text in parts if isinstance(text, str)]
    if len(texts) < len(parts):
        raise TemplateRefusedError(UNREADABLE)
    return "".join(texts)


@functools.lru_cache(maxsize=32)
def _reads(grammar: Grammar, *, in_parts: bool) -> bool:
    """Whether a content in this form is written, and nothing else of it."""
    content = [{"type": "text", "text": mark(0), "no_such_key": mark(1)}] if in_parts else mark(0)
    try:
        rendered = grammar.render(Conversation(()), [{"role": "user", "content": content}])
    except TemplateRefusedError:
        return False
    return split_at_marks(rendered)[1] == [0]
