"""Predict renderings of one template from its layout of each sequence of roles, which probes show once.

The layout of its roles predicts the rendering of a conversation with plain contents. If prediction and rendering are
equal, character for character, the position of every content and every turn is known exactly, and nothing has to be
rendered again. A content in parts is predicted as the joined text of its parts, with the text that the template writes
for an image.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import orjson

from sft_core.data.chat.contents import flattened, in_parts
from sft_core.data.chat.layout import (
    Layout,
    Turn,
    close_in,
    layout_of,
    mark,
    probe,
    spacious_probe,
    split_at_marks,
    start_in,
    tail,
)
from sft_core.data.chat.template import ChatTemplate, Span, TemplateRefusedError
from sft_core.store.records import Conversation, Message

MAX_LAYOUTS = 4096
"""Number of layouts that are cached. Real data has a few dozen sequences of roles."""
ASSISTANT = "assistant"
_PLAIN = {"role", "content", "weight", "train"}


@dataclass(frozen=True, slots=True)
class Shape:
    """Key of a layout: the roles, and the template's inputs other than messages."""

    roles: tuple[str, ...]
    settings: bytes
    """Tools and template arguments as JSON; empty without tools and arguments."""

    @classmethod
    def of(cls, conversation: Conversation, roles: tuple[str, ...]) -> "Shape":
        """Return the shape of some roles with the tools and arguments of a conversation."""
        settings = (conversation.tools, conversation.chat_template_kwargs)
        return cls(roles, orjson.dumps(settings) if any(settings) else b"")

    def setting(self) -> Conversation:
        """Return a conversation without messages that has these tools and arguments."""
        tools, kwargs = orjson.loads(self.settings) if self.settings else (None, None)
        return Conversation((), None, tools, kwargs)


class Grammar:
    """A template with the layouts learnt from it. Create one with `grammar_of`."""

    def __init__(self, template: ChatTemplate) -> None:
        self.template = template
        names = [token for _, token in template.special_tokens]
        self.writes_calls = "tool_calls" in template.source
        """False if the template never mentions tool calls, and so omits them silently."""
        self.specials = tuple(dict.fromkeys([*names, *template.special_texts]))
        self._reads_any = functools.lru_cache(MAX_LAYOUTS)(lambda keys: any(key in template.source for key in keys))
        self.layout = functools.lru_cache(MAX_LAYOUTS)(self._learn_layout)
        """Shape → its layout; None if the template refuses the probe."""
        self.turn = functools.lru_cache(8 * MAX_LAYOUTS)(self._learn_turn)
        """(shape, position of a message) → the text around its content; None if that cannot be determined."""

    def render(self, setting: Conversation, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
        """Render messages with the tools and template arguments of a conversation.

        Raises:
            TemplateRefusedError: if the template refuses the messages.
        """
        if self.reads_only_parts:
            messages = [{**message, "content": in_parts(message.get("content"))} for message in messages]
        text, _ = self.template.render(
            messages,
            add_generation_prompt=add_generation_prompt,
            tools=setting.tools,
            kwargs=setting.chat_template_kwargs,
        )
        return text

    def fit(self, conversation: Conversation, text: str) -> "Fit | None":
        """Predict the rendering of a conversation; return None if the prediction differs from its text."""
        contents = [self._plain_content(message) for message in conversation.messages]
        if None in contents:
            return None
        shape = Shape.of(conversation, tuple([message["role"] for message in conversation.messages]))
        layout = self.layout(shape)
        if layout is None:
            return None
        pieces = layout.pieces([content or "" for content in contents])
        return Fit(self, shape, layout, pieces, text) if "".join(pieces) == text else None

    def _plain_content(self, message: Message) -> str | None:
        """Return the content as one string; None if the message has other keys that the template might read."""
        more = message.keys() - _PLAIN
        if more and self._reads_any(frozenset(more)):
            return None
        content = message.get("content")
        return content if isinstance(content, str) else flattened(content, self.image)

    @cached_property
    def reads_parts(self) -> bool:
        """True if the template writes the text of a content in parts, and nothing else of it."""
        return self._writes([{"type": "text", "text": mark(0), "no_such_key": mark(1)}]) == [0]

    @cached_property
    def reads_only_parts(self) -> bool:
        """True if the template writes a content in parts, and does not write one that is a string."""
        return self.reads_parts and self._writes(mark(0)) != [0]

    @cached_property
    def image(self) -> str | None:
        """Text that the template writes for an image between two texts. None if it refuses such a content or changes
        the order; some templates write all images before the texts, and nothing here."""
        before, after = ({"type": "text", "text": mark(index)} for index in (0, 1))
        shown = [{"role": "user", "content": [before, {"type": "image"}, after]}]
        try:
            literals, marks = split_at_marks(self.template.render(shown)[0])
        except TemplateRefusedError:
            return None
        return literals[1] if marks == [0, 1] and self.reads_parts else None

    def _writes(self, content: Any) -> list[int]:
        """Return the numbers of the marks of a content that the template writes."""
        try:
            return split_at_marks(self.template.render([{"role": "user", "content": content}])[0])[1]
        except TemplateRefusedError:
            return []

    def usual_turn(self, setting: Conversation, *, is_last: bool) -> tuple[Turn, str] | None:
        """Return the assistant's turn in a conversation of user and assistant messages.

        Args:
            setting: Conversation whose template arguments apply.
            is_last: True for the turn at the end of a conversation, False for one that others follow.

        Returns:
            The turn, and the text after the content of a last turn. None if they cannot be determined.
        """
        # tools change the text before the turns and not the turns; many rows have tools of their own
        setting = replace(setting, tools=None)
        short, long = (Shape.of(setting, ("user", ASSISTANT) * times) for times in (1, 2))
        layout, turn = self.layout(short), self.turn(short if is_last else long, 1)
        return (turn, layout.literals[-1]) if layout and turn else None

    def generation_prompt(self, setting: Conversation) -> str | None:
        """Return the generation prompt: the text after a finished user turn that the assistant's answer continues.

        Returns:
            None if the template refuses to render it, or if the prompt changes the text before it.
        """
        question = probe(["user"])
        try:
            ended = self.render(setting, question)
            prompt = self.render(setting, question, add_generation_prompt=True)
        except TemplateRefusedError:
            return None
        return prompt[len(ended) :] if prompt.startswith(ended) else None

    def close(self, setting: Conversation, messages: Sequence[Message], after: str, index: int) -> str | None:
        """Return the part of the text after a content that belongs to its turn; None if it cannot be determined.

        Args:
            setting: Conversation whose tools and template arguments apply.
            messages: Messages, with a mark as the content in question.
            after: Text from that content to the next one.
            index: Position of the message with the mark.
        """
        through = messages[: index + 1]
        try:
            alone = tail(self.render(setting, through), index)
            prompt = tail(self.render(setting, through, add_generation_prompt=True), index)
        except TemplateRefusedError:
            return None
        return None if alone is None or prompt is None else close_in(after, alone, prompt, self.specials)

    def _learn_layout(self, shape: Shape) -> Layout | None:
        setting = shape.setting()
        try:
            rendered = self.render(setting, probe(shape.roles))
        except TemplateRefusedError:
            return None
        try:
            return layout_of(rendered, self.render(setting, spacious_probe(shape.roles)))
        except TemplateRefusedError:
            return layout_of(rendered, None)

    def _learn_turn(self, shape: Shape, index: int) -> Turn | None:
        layout = self.layout(shape)
        if layout is None or layout.contents.count(index) != 1:
            return None
        place, setting, messages = layout.contents.index(index), shape.setting(), probe(shape.roles)
        start = self._start(setting, messages, layout.literals[place], index)
        close = self.close(setting, messages, layout.literals[place + 1], index)
        return None if start is None or close is None else Turn(start[0], close, start[1])

    def _start(
        self, setting: Conversation, messages: Sequence[Message], head: str, index: int
    ) -> tuple[str, str] | None:
        if messages[index]["role"] != ASSISTANT:
            return "", ""  # this turn is never generated, so all text before its content is header
        found = None
        try:
            prompt = tail(self.render(setting, messages[:index], add_generation_prompt=True), None)
            found = None if prompt is None else start_in(head, prompt)
        except TemplateRefusedError:
            pass
        if found is None and index == 0:  # many templates cannot render a prompt without messages
            prompt = self.generation_prompt(setting)
            found = start_in(head[max(head.rfind(prompt), 0) :], prompt) if prompt else None
        return found


@dataclass(frozen=True, slots=True)
class Fit:
    """A conversation whose rendering was predicted correctly."""

    grammar: Grammar
    shape: Shape
    layout: Layout
    pieces: list[str]
    """Literals and contents alternately."""
    text: str

    def spans(self, indices: Sequence[int]) -> list[Span] | None:
        """Return the spans of the turns at these positions; None if one of them cannot be determined."""
        ends = list(itertools.accumulate(map(len, self.pieces)))
        spans = [self._span(ends, index) for index in indices]
        return [span for span in spans if span] if all(spans) else None

    def _span(self, ends: list[int], index: int) -> Span | None:
        turn = self.grammar.turn(self.shape, index)
        if turn is None:
            return None
        place = 2 * self.layout.contents.index(index)
        start, end = ends[place] - len(turn.lead), ends[place + 1] + len(turn.close)
        if turn.promise and self.text.startswith(turn.promise, start):
            start += len(turn.promise)
        return start, end


@functools.lru_cache(maxsize=16)
def grammar_of(template: ChatTemplate) -> Grammar:
    """Return the grammar of a template, cached in this process from shard to shard."""
    return Grammar(template)
