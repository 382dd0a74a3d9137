"""Where a turn lies in a rendering that nothing is known about: told by rendering the conversation's beginnings.

From where the prompt before the turn ends to where the conversation up to and with the turn ends. Both must be
beginnings of the whole, else the span would be a guess. What a template is known to write into last turns only (an
empty thinking block, an end token of the whole) or to promise in the generation prompt only is allowed for.
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
    """Find one turn.

    Raises:
        TemplateRefusedError: if the template renders it differently once later ones follow, or not all of it.
    """
    find = _spoken if conversation.messages[index]["role"] == ASSISTANT else _written
    span = find(grammar, conversation, text, index)
    if span is None:
        raise TemplateRefusedError(REWRITES)
    if not holds_words(text[slice(*span)], conversation.messages[index]):
        raise TemplateRefusedError(LEAVES_OUT)
    return span


def holds_words(said: str, message: Message) -> bool:
    """Whether a text holds the content of a message, up to tags and white space."""
    content = message.get("content")
    texts = [words_said([part]) for part in content] if isinstance(content, list) else [words_said(content)]
    return all(words in said for text in texts if text for words in words_of(text))


def _spoken(grammar: Grammar, conversation: Conversation, text: str, index: int) -> Span | None:
    """The assistant's turn."""
    is_last = index == len(conversation.messages) - 1
    through = text if is_last else grammar.render(conversation, conversation.messages[: index + 1])
    before = _prompt(grammar, conversation, through, index)
    last, here = (grammar.usual_turn(conversation, is_last=flag) for flag in (True, is_last))
    start, start_alone = (_end_of(before, turn and turn[0], whole) for turn, whole in ((here, text), (last, through)))
    if start is None or start_alone is None:
        return None
    alone = through[start_alone:]
    for said in (*_as_here(alone, last, here), without_line_break(alone, grammar.specials)):
        if text.startswith(said, start):
            return start, start + len(said)
    return None


def _as_here(alone: str, last: tuple[Turn, str] | None, here: tuple[Turn, str] | None) -> Iterator[str]:
    """A turn as it may stand in the middle of a conversation, from how it stands at the end of one."""
    if last is None or here is None or not alone.endswith(last[1]):
        return
    body = alone[: len(alone) - len(last[1])]
    if body.startswith(last[0].lead):
        yield f"{here[0].lead}{body[len(last[0].lead) :]}{here[0].close}"
    yield body + here[0].close


def _prompt(grammar: Grammar, conversation: Conversation, through: str, index: int) -> str:
    """All before the assistant speaks."""
    try:
        return grammar.render(conversation, conversation.messages[:index], add_generation_prompt=True)
    except TemplateRefusedError:
        prompt = grammar.generation_prompt(conversation)
        if index or not prompt or prompt not in through:
            raise
        return through[: through.index(prompt) + len(prompt)]  # nothing but headers stands before the first message


def _end_of(prompt: str, turn: Turn | None, text: str) -> int | None:
    """Where in the text a prompt ends, with what it promised or without."""
    if text.startswith(prompt):
        return len(prompt)
    kept = prompt.removesuffix(turn.promise) if turn else prompt
    return len(kept) if text.startswith(kept) else None


def shared_length(text: str, other: str) -> int:
    """How many characters two texts have in common at their beginnings."""
    if text.startswith(other):
        return len(other)
    different = (index for index, (a, b) in enumerate(zip(text, other, strict=False)) if a != b)
    return next(different, min(len(text), len(other)))


def _written(grammar: Grammar, conversation: Conversation, text: str, index: int) -> Span | None:
    """Anybody else's turn: its content, found by a mark in its place, and the end."""
    messages = list(conversation.messages)
    for content in _marked(messages[index].get("content"), mark(index)):
        messages[index] = {**messages[index], "content": content}
        literals, marks = split_at_marks(grammar.render(conversation, messages))
        if marks == [index] and text.startswith(literals[0]) and text.endswith(literals[1]):
            close = grammar.close(conversation, messages, literals[1], index)
            return None if close is None else (len(literals[0]), len(text) - len(literals[1]) + len(close))
    return None


def _marked(content: Any, mark: str) -> Iterator[Any]:
    """What can stand for a content. Some templates write another header before an image: then the turn is told from
    behind the first one, which is no target in any case."""
    if words_said(content) is not None:
        yield mark
        if has_images(content[:1]):
            yield [content[0], {"type": "text", "text": mark}]
