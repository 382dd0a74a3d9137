"""Assign each `{% generation %}` span of a rendering to its message, and check that it holds that message's content."""

from collections.abc import Sequence

from sft_core.data.chat.contents import words_said
from sft_core.data.chat.grammar import ASSISTANT
from sft_core.data.chat.layout import words_of
from sft_core.data.chat.template import Span, TemplateRefusedError
from sft_core.store.records import Message

FOREIGN = "the chat template marks a text as generated that no assistant message holds"


def marked_turns(marked: Sequence[Span], text: str, messages: Sequence[Message]) -> list[tuple[int, Span]]:
    """Assign each span to its message.

    Usually there is one span per assistant message. If a template marks only some turns (those after the last
    question), or one turn in several pieces, messages are matched from the end, and each span belongs to the first one
    whose words it contains.

    Returns:
        (position of the message, span) in order of the text.

    Raises:
        TemplateRefusedError: if a span contains nothing of the message that it should belong to.
    """
    speakers = [index for index, message in enumerate(messages) if message["role"] == ASSISTANT]
    if len(marked) == len(speakers):
        pairs = list(zip(speakers, marked, strict=True))
        if not all(_has_words_in(messages[index], text[slice(*span)]) for index, span in pairs):
            raise TemplateRefusedError(FOREIGN)
        return pairs
    found: list[tuple[int, Span]] = []
    for span in reversed(marked):
        marked_text = text[slice(*span)]
        while speakers and not _has_words_in(messages[speakers[-1]], marked_text):
            speakers.pop()
        if not speakers:
            raise TemplateRefusedError(FOREIGN)
        found.append((speakers[-1], span))
    return found[::-1]


def _has_words_in(message: Message, marked_text: str) -> bool:
    """Return True if a span's text contains the last words of a message or its thinking; tool calls are not checked."""
    content = message.get("content")
    if isinstance(content, list):
        content = next(filter(None, (words_said([part]) for part in reversed(content))), None)
    if not isinstance(content, str) or message.get("tool_calls"):
        return True
    whole = content.strip()
    if whole and whole in marked_text:  # nearly always; then the words after the last tag need no search
        return True
    thoughts = (message.get(key) for key in ("thinking", "reasoning_content"))
    words = [*words_of(content)[-1:], *(thought.strip() for thought in thoughts if isinstance(thought, str))]
    return not words or any(word in marked_text for word in words)
