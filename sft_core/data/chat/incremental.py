"""Find a turn by rendering prefixes of its conversation, if the rendering was not predicted.

The span reaches from the end of the prompt before the turn to the end of the conversation up to and including the turn.
Both must be prefixes of the whole rendering; otherwise the span would be a guess. The comparison allows for text that
the template is known to write only into the last turn (an empty thinking block, a final end token) or only into the
generation prompt.
"""

from collections.abc import Iterator
from typing import Any

from sft_core.data.chat.contents import has_images, words_said
from sft_core.data.chat.grammar import ASSISTANT, Grammar
from sft_core.data.chat.layout import Turn, mark, split_at_marks, without_line_break, words_of
from sft_core.data.chat.template import Span, TemplateRefusedError
from sft_core.store.records import Conversation, Message

REWRITES = "the chat template rewrites earlier turns, so the turns that the loss looks at cannot be told exactly"
LEAVES_OUT = "the chat template leaves out a part of a turn that the loss looks at"


def incremental_span(grammar: Grammar, conversation: Conversation, text: str, index: int) -> Span:
    """Find the span of one turn.

    Args:
        grammar: The template and what is known about it.
        conversation: The whole conversation.
        text: Its rendering.
        index: Position of the turn's message.

    Raises:
        TemplateRefusedError: if the template renders the turn differently once later turns follow, or omits a part of
            it.
    """
    find = _spoken if conversation.messages[index]["role"] == ASSISTANT else _written
    span = find(grammar, conversation, text, index)
    if span is None:
        raise TemplateRefusedError(REWRITES)
    if not holds_words(text[slice(*span)], conversation.messages[index]):
        raise TemplateRefusedError(LEAVES_OUT)
    return span


def holds_words(rendered: str, message: Message) -> bool:
    """Return True if a rendered text contains the content of a message, apart from tags and white space."""
    content = message.get("content")
    texts = [words_said([part]) for part in content] if isinstance(content, list) else [words_said(content)]
    return all(words in rendered for text in texts if text for words in words_of(text))


def _spoken(grammar: Grammar, conversation: Conversation, text: str, index: int) -> Span | None:
    """Find a turn of the assistant: from the end of its prompt to its end token."""
    is_last = index == len(conversation.messages) - 1
    through = text if is_last else grammar.render(conversation, conversation.messages[: index + 1])
    before = _prompt(grammar, conversation, through, index)
    last, here = (grammar.usual_turn(conversation, is_last=flag) for flag in (True, is_last))
    start, start_alone = (_end_of(before, turn and turn[0], whole) for turn, whole in ((here, text), (last, through)))
    if start is None or start_alone is None:
        return None
    alone = through[start_alone:]
    for turn in (*_as_here(alone, last, here), without_line_break(alone, grammar.specials)):
        if text.startswith(turn, start):
            return start, start + len(turn)
    return None


def _as_here(alone: str, last: tuple[Turn, str] | None, here: tuple[Turn, str] | None) -> Iterator[str]:
    """Yield the forms that a turn may have in the middle of a conversation, given its form at the end of one."""
    if last is None or here is None or not alone.endswith(last[1]):
        return
    body = alone[: len(alone) - len(last[1])]
    if body.startswith(last[0].lead):
        yield f"{here[0].lead}{body[len(last[0].lead) :]}{here[0].close}"
    yield body + here[0].close


def _prompt(grammar: Grammar, conversation: Conversation, through: str, index: int) -> str:
    """Render what precedes the assistant's turn, with the generation prompt."""
    try:
        return grammar.render(conversation, conversation.messages[:index], add_generation_prompt=True)
    except TemplateRefusedError:
        prompt = grammar.generation_prompt(conversation)
        if index or not prompt or prompt not in through:
            raise
        return through[: through.index(prompt) + len(prompt)]  # only headers precede the first message


def _end_of(prompt: str, turn: Turn | None, text: str) -> int | None:
    """Return the offset in the text at which a prompt ends, with or without the end that only the prompt has."""
    if text.startswith(prompt):
        return len(prompt)
    kept = prompt.removesuffix(turn.promise) if turn else prompt
    return len(kept) if text.startswith(kept) else None


def shared_length(text: str, other: str) -> int:
    """Return the length of the longest common prefix of two texts."""
    if text.startswith(other):
        return len(other)
    different = (index for index, (a, b) in enumerate(zip(text, other, strict=False)) if a != b)
    return next(different, min(len(text), len(other)))


def _written(grammar: Grammar, conversation: Conversation, text: str, index: int) -> Span | None:
    """Find a turn of another role: a mark in place of its content shows the position, and the end token is added."""
    messages = list(conversation.messages)
    for content in _marked(messages[index].get("content"), mark(index)):
        messages[index] = {**messages[index], "content": content}
        literals, marks = split_at_marks(grammar.render(conversation, messages))
        if marks == [index] and text.startswith(literals[0]) and text.endswith(literals[1]):
            close = grammar.close(conversation, messages, literals[1], index)
            return None if close is None else (len(literals[0]), len(text) - len(literals[1]) + len(close))
    return None


def _marked(content: Any, mark: str) -> Iterator[Any]:
    """Yield contents with a mark, to put in place of a content.

    Some templates write another header before an image. For them the second form keeps the leading image, so the span
    starts after it; an image is never a target.
    """
    if words_said(content) is not None:
        yield mark
        if has_images(content[:1]):
            yield [content[0], {"type": "text", "text": mark}]
