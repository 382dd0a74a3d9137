"""What is known about one template: how it lays out each sequence of roles, learnt once from probes.

A conversation of plain contents is predicted from the layout of its roles. Where the prediction is the rendering,
character for character, the place of every content and every turn in it is known: nothing is guessed, and nothing has
to be rendered again. A content in parts is predicted as the text that its parts make, with what the template writes for
an image.
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
"""How many are remembered: real data has some dozens of sequences of roles."""
ASSISTANT = "assistant"
_PLAIN = {"role", "content", "weight", "train"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides a layout: the roles, and what the template gets besides messages."""

    roles: tuple[str, ...]
    settings: bytes
    """Tools and arguments as JSON; empty if there are none."""

    @classmethod
    def of(cls, conversation: Conversation, roles: tuple[str, ...]) -> "Shape":
        """These roles in the setting of a conversation."""
        settings = (conversation.tools, conversation.chat_template_kwargs)
        return cls(roles, orjson.dumps(settings) if any(settings) else b"")

    def setting(self) -> Conversation:
        """A conversation of this setting that has no messages yet."""
        tools, kwargs = orjson.loads(self.settings) if self.settings else (None, None)
        return Conversation((), None, tools, kwargs)


class Grammar:
    """A template with what has been learnt about it; make it by `grammar_of`."""

    def __init__(self, template: ChatTemplate) -> None:
        self.template = template
        names = [token for _, token in template.special_tokens]
        self.writes_calls = "tool_calls" in template.source
        """A template that never mentions calls of tools leaves them out without a word."""
        self.specials = tuple(dict.fromkeys([*names, *template.special_texts]))
        self._reads_any = functools.lru_cache(MAX_LAYOUTS)(lambda keys: any(key in template.source for key in keys))
        self.layout = functools.lru_cache(MAX_LAYOUTS)(self._learn_layout)
        """Shape → how the template lays it out; None if it refuses the probe."""
        self.turn = functools.lru_cache(8 * MAX_LAYOUTS)(self._learn_turn)
        """Shape, position of a message → what stands around its content; None if that cannot be told."""

    def render(self, setting: Conversation, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
        """Render these messages in the setting of a conversation: with its tools and arguments.

        Raises:
            TemplateRefusedError: if the template does.
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
        """Predict a rendering; None if the prediction is not the text."""
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
        """The content as one text; None if the message has anything else that the template could do something with."""
        more = message.keys() - _PLAIN
        if more and self._reads_any(frozenset(more)):
            return None
        content = message.get("content")
        return content if isinstance(content, str) else flattened(content, self.image)

    @cached_property
    def reads_parts(self) -> bool:
        """Whether a content in parts is written, and nothing else of it."""
        return self._writes([{"type": "text", "text": mark(0), "no_such_key": mark(1)}]) == [0]

    @cached_property
    def reads_only_parts(self) -> bool:
        """Whether a content in parts is written, and a text is not."""
        return self.reads_parts and self._writes(mark(0)) != [0]

    @cached_property
    def image(self) -> str | None:
        """What the template writes where an image is between two texts; None if it refuses, or has them in another
        order. Some write all images before the texts, and nothing here."""
        before, after = ({"type": "text", "text": mark(index)} for index in (0, 1))
        shown = [{"role": "user", "content": [before, {"type": "image"}, after]}]
        try:
            literals, marks = split_at_marks(self.template.render(shown)[0])
        except TemplateRefusedError:
            return None
        return literals[1] if marks == [0, 1] and self.reads_parts else None

    def _writes(self, content: Any) -> list[int]:
        """The marks of a content that the template writes."""
        try:
            return split_at_marks(self.template.render([{"role": "user", "content": content}])[0])[1]
        except TemplateRefusedError:
            return []

    def usual_turn(self, setting: Conversation, *, is_last: bool) -> tuple[Turn, str] | None:
        """The assistant's turn in the plainest conversation, as the last one or as one before; and all that follows
        its content where it is the last one. None if that cannot be told."""
        # tools change what stands before turns and not the turns; many rows have tools of their own
        setting = replace(setting, tools=None)
        short, long = (Shape.of(setting, ("user", ASSISTANT) * times) for times in (1, 2))
        layout, turn = self.layout(short), self.turn(short if is_last else long, 1)
        return (turn, layout.literals[-1]) if layout and turn else None

    def generation_prompt(self, setting: Conversation) -> str | None:
        """What is written for the assistant to go on from, after a user's turn has ended."""
        question = probe(["user"])
        try:
            ended = self.render(setting, question)
            prompt = self.render(setting, question, add_generation_prompt=True)
        except TemplateRefusedError:
            return None
        return prompt[len(ended) :] if prompt.startswith(ended) else None

    def close(self, setting: Conversation, messages: Sequence[Message], after: str, index: int) -> str | None:
        """Which part of the text after a content, whose place a mark holds, belongs to its turn."""
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
            return "", ""  # nobody generates this turn, so all that is written before its content is header
        found = None
        try:
            prompt = tail(self.render(setting, messages[:index], add_generation_prompt=True), None)
            found = None if prompt is None else start_in(head, prompt)
        except TemplateRefusedError:
            pass
        if found is None and index == 0:  # many templates cannot render a prompt of no messages
            prompt = self.generation_prompt(setting)
            found = start_in(head[max(head.rfind(prompt), 0) :], prompt) if prompt else None
        return found


@dataclass(frozen=True, slots=True)
class Fit:
    """A conversation whose rendering was predicted."""

    grammar: Grammar
    shape: Shape
    layout: Layout
    pieces: list[str]
    """Literals and contents in turn."""
    text: str

    def spans(self, indices: Sequence[int]) -> list[Span] | None:
        """Where these turns lie; None if that cannot be told of one of them."""
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
    """What this process has learnt about a template, kept from shard to shard."""
    return Grammar(template)
