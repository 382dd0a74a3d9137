"""Where in a rendered conversation the loss belongs."""

from sft_core.chat.template import ChatTemplate, Span, TemplateRefusedError
from sft_core.records import Conversation


def render_conversation(template: ChatTemplate, conversation: Conversation) -> tuple[str, list[Span]]:
    """Render a whole conversation; the spans are those that the template marks itself."""
    return template.render(conversation.messages, tools=conversation.tools, kwargs=conversation.chat_template_kwargs)


def render_prompt(template: ChatTemplate, conversation: Conversation, num_messages: int) -> str:
    """Render the first messages as they stand when the assistant is about to speak."""
    text, _ = template.render(
        conversation.messages[:num_messages],
        add_generation_prompt=True,
        tools=conversation.tools,
        kwargs=conversation.chat_template_kwargs,
    )
    return text


def completion_span(template: ChatTemplate, conversation: Conversation, text: str) -> Span:
    """Find the completion of a prompt-completion conversation: all after what it shares with the rendered prompt.

    As in TRL, where the completion's rendering does not begin as the prompt promised (a template that adds an empty
    thinking block to the generation prompt only), the completion starts at the first character that differs.
    """
    assert conversation.completion_index is not None
    prompt = render_prompt(template, conversation, conversation.completion_index)
    if text.startswith(prompt):
        return len(prompt), len(text)
    shared = next(
        (i for i, (a, b) in enumerate(zip(prompt, text, strict=False)) if a != b), min(len(prompt), len(text))
    )
    return shared, len(text)


def assistant_spans(template: ChatTemplate, conversation: Conversation, text: str, marked: list[Span]) -> list[Span]:
    """Find what the assistant says, with the token that ends each turn.

    A template with `{% generation %}` blocks says it itself. For any other, turn by turn: from where the prompt before
    the turn ends to where the conversation up to and with the turn ends. Both renderings must be beginnings of the
    whole, else the spans would be guesses.

    Raises:
        TemplateRefusedError: if the template renders earlier turns differently once later ones follow.
    """
    if template.marks_generation:
        return marked
    spans = []
    for index, message in enumerate(conversation.messages):
        if message["role"] != "assistant":
            continue
        before = render_prompt(template, conversation, index)
        through, _ = template.render(
            conversation.messages[: index + 1], tools=conversation.tools, kwargs=conversation.chat_template_kwargs
        )
        if not (text.startswith(through) and through.startswith(before)):
            raise TemplateRefusedError(
                "the chat template rewrites earlier turns, so the assistant's part cannot be told exactly"
            )
        spans.append((len(before), max(len(before), _end_of_turn(template, through))))
    return spans


def _end_of_turn(template: ChatTemplate, through: str) -> int:
    """Where the last turn of a rendering ends: behind its end token, before the line break that many templates put
    between turns."""
    words = through.rstrip()
    return len(words) if words.endswith(tuple(token for _, token in template.special_tokens)) else len(through)


def intersect(spans: list[Span], others: list[Span]) -> list[Span]:
    """Characters that lie in both lists of spans."""
    pairs = ((max(a, c), min(b, d)) for a, b in spans for c, d in others)
    return sorted((start, end) for start, end in pairs if start < end)
