"""Which message each `{% generation %}` span of a template belongs to, and whether it holds what that message says."""

from collections.abc import Sequence

from sft_core.data.chat.contents import words_said
from sft_core.data.chat.grammar import ASSISTANT
from sft_core.data.chat.layout import words_of
from sft_core.data.chat.template import Span, TemplateRefusedError
from sft_core.store.records import Message

FOREIGN = "the chat template marks a text as generated that no assistant message holds"


def marked_turns(marked: Sequence[Span], text: str, messages: Sequence[Message]) -> list[tuple[int, Span]]:
    """Give each span its message.

    One span a message is the rule. Where a template marks some turns only (those after the last question), or one turn
    in pieces, messages are gone through from the end, and a span belongs to the first that has words in it.

    Returns:
        (position of the message, span) in order of the text.

    Raises:
        TemplateRefusedError: if a span holds nothing of the message that it should belong to.
    """
    speakers = [index for index, message in enumerate(messages) if message["role"] == ASSISTANT]
    if len(marked) == len(speakers):
        pairs = list(zip(speakers, marked, strict=True))
        if not all(_has_words_in(messages[index], text[slice(*span)]) for index, span in pairs):
            raise TemplateRefusedError(FOREIGN)
        return pairs
    found: list[tuple[int, Span]] = []
    for span in reversed(marked):
        said = text[slice(*span)]
        while speakers and not _has_words_in(messages[speakers[-1]], said):
            speakers.pop()
        if not speakers:
            raise TemplateRefusedError(FOREIGN)
        found.append((speakers[-1], span))
    return found[::-1]


def _has_words_in(message: Message, said: str) -> bool:
    """Whether a span holds the last words of a message, or one of its thoughts; calls of tools are not looked for."""
    content = message.get("content")
    if isinstance(content, list):
        content = next(filter(None, (words_said([part]) for part in reversed(content))), None)
    if not isinstance(content, str) or message.get("tool_calls"):
        return True
    whole = content.strip()
    if whole and whole in said:  # nearly always; the words behind the last tag need not be looked for then
        return True
    thoughts = (message.get(key) for key in ("thinking", "reasoning_content"))
    words = [*words_of(content)[-1:], *(thought.strip() for thought in thoughts if isinstance(thought, str))]
    return not words or any(word in said for word in words)
