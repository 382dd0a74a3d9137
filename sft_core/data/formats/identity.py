"""Identities of examples: 64 bits of a hash of the example, and of a hash of its prompt, whatever format it came in.

    example_id   the whole example as it is trained on: messages, tools, weights, images, …; equal ids are duplicates
    prompt_id    the part before the answer: role, content and tool calls of each message, and the images. Examples
                 that share it must be in the same split. Weights, names, ids of calls, reasoning, tools and template
                 arguments are excluded, because they do not make another question. A lone question has the same id
                 as plain text and as a user's message

The order of an object's keys does not matter. Among 10 million examples, two different ones get the same id with a
probability of about 3 in a million.
"""

import hashlib
from typing import Any

from sft_core.data.formats.json_text import encode
from sft_core.store.image_store import identity_of_images
from sft_core.store.records import Conversation, Example, Message, TextExample, TokenExample


def example_id_of(example: bytes, images: bytes | None) -> int:
    """Return the identity of an example.

    Args:
        example: Its JSON with sorted keys.
        images: The JSON of its images, or None.
    """
    return _hash(example) ^ identity_of_images(images)


def prompt_id_of(example: Example, images: bytes | None) -> int:
    """Return the identity of an example's prompt, or of its content if it has no prompt, because otherwise all such
    rows would share one id."""
    return _hash(_PROMPTS[type(example)](example)) ^ identity_of_images(images)


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content + b"\0", digest_size=8).digest(), "big")


def _prompt_of_text(example: TextExample) -> bytes:
    return (example.prompt or example.completion).encode()


def _prompt_of_conversation(example: Conversation) -> bytes:
    messages = example.messages[: answer_index(example)] or example.messages
    if len(messages) == 1 and messages[0]["role"] == "user" and isinstance(messages[0]["content"], str):
        return str(messages[0]["content"]).encode()  # the same question as a prompt of plain text
    return encode([_utterance(message) for message in messages], sort_keys=True)


def _prompt_of_tokens(example: TokenExample) -> bytes:
    """Encode the tokens before the first target."""
    start = example.loss_mask.index(1) if 1 in example.loss_mask else 0
    return encode(example.input_ids[:start] or example.input_ids)


_PROMPTS: dict[type, Any] = {
    TextExample: _prompt_of_text,
    Conversation: _prompt_of_conversation,
    TokenExample: _prompt_of_tokens,
}


def _utterance(message: Message) -> list[Any]:
    calls = [call["function"] for call in message.get("tool_calls", ())]
    return [message["role"], message["content"], *calls]


def answer_index(conversation: Conversation) -> int:
    """Return the position of the message that answers: the first of the completion, else the last assistant message,
    else the end."""
    if conversation.completion_index is not None:
        return conversation.completion_index
    roles = [message["role"] for message in conversation.messages]
    return len(roles) - 1 - roles[::-1].index("assistant") if "assistant" in roles else len(roles)
