"""Find the spans of a rendered conversation that the loss covers: turns, completions, and their intersection."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from sft_core.data.chat.generation_marks import marked_turns
from sft_core.data.chat.grammar import ASSISTANT, Fit, Grammar
from sft_core.data.chat.incremental import incremental_span, shared_length
from sft_core.data.chat.template import Span, TemplateRefusedError
from sft_core.store.records import Conversation

WeightedSpan = tuple[int, int, float]
"""(start, end, weight): characters [start, end) and the weight of their loss."""


@dataclass(frozen=True)
class Rendering:
    """A conversation with the text that the template renders for it."""

    grammar: Grammar
    conversation: Conversation
    text: str
    marked: list[Span]
    """Spans of the template's `{% generation %}` blocks."""

    @classmethod
    def of(cls, grammar: Grammar, conversation: Conversation) -> "Rendering":
        """Render a conversation.

        Raises:
            TemplateRefusedError: if the template refuses the conversation.
        """
        text, marked = grammar.template.render(
            conversation.messages, tools=conversation.tools, kwargs=conversation.chat_template_kwargs
        )
        return cls(grammar, conversation, text, marked)

    @cached_property
    def fit(self) -> Fit | None:
        """The predicted layout; None if the prediction differs from the text."""
        return self.grammar.fit(self.conversation, self.text)

    def prompt(self, num_messages: int) -> str:
        """Render the first messages with a generation prompt."""
        messages = self.conversation.messages[:num_messages]
        return self.grammar.render(self.conversation, messages, add_generation_prompt=True)


def turn_spans(rendering: Rendering, indices: Sequence[int]) -> list[tuple[int, Span]]:
    """Find the spans of turns: the content of each, and the token that ends it.

    The template's `{% generation %}` marks are used if it has them and all turns are the assistant's; otherwise the
    prediction; otherwise renderings of the conversation's prefixes.

    Returns:
        (position of the message, span) in order of the text. A template's marks may omit turns.

    Raises:
        TemplateRefusedError: if the span of a turn cannot be determined exactly.
    """
    messages = rendering.conversation.messages
    if rendering.grammar.template.marks_generation and all(messages[index]["role"] == ASSISTANT for index in indices):
        wanted = set(indices)
        return [pair for pair in marked_turns(rendering.marked, rendering.text, messages) if pair[0] in wanted]
    return list(zip(indices, _unmarked_spans(rendering, indices), strict=True))


def _unmarked_spans(rendering: Rendering, indices: Sequence[int]) -> list[Span]:
    spans = rendering.fit.spans(indices) if rendering.fit else None
    if spans is None:
        spans = [
            incremental_span(rendering.grammar, rendering.conversation, rendering.text, index) for index in indices
        ]
    if any(end > start for (_, end), (start, _) in pairwise(spans)):
        raise TemplateRefusedError("the chat template writes turns in another order than they came")
    return spans


def completion_span(rendering: Rendering) -> Span:
    """Find the completion of a prompt-completion conversation: from the start of its first message's turn to the end.

    If that start cannot be determined, the completion is everything after the longest common prefix of the text and the
    rendered prompt, as in TRL.
    """
    text, index = rendering.text, rendering.conversation.completion_index
    assert index is not None
    is_spoken = rendering.conversation.messages[index]["role"] == ASSISTANT
    if is_spoken and rendering.fit and (spans := rendering.fit.spans([index])):
        return spans[0][0], len(text)
    prompt = rendering.prompt(index)
    if is_spoken and not text.startswith(prompt):
        with suppress(TemplateRefusedError):
            return incremental_span(rendering.grammar, rendering.conversation, text, index)[0], len(text)
    return shared_length(prompt, text), len(text)


def intersect(spans: Sequence[WeightedSpan], others: Sequence[WeightedSpan]) -> list[WeightedSpan]:
    """Return the characters that are in both lists of spans, with the product of their weights."""
    pairs = ((max(a, c), min(b, d), v * w) for a, b, v in spans for c, d, w in others)
    return sorted((start, end, weight) for start, end, weight in pairs if start < end)
