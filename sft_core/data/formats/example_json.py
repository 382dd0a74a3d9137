"""Examples as stored in the `example` column: JSON whose keys identify the kind of example.

TextExample    {"prompt", "completion", "has_prompt"}
Conversation   {"messages", "completion_index", "tools", "chat_template_kwargs"}
TokenExample   {"input_ids", "loss_mask"}
"""

from sft_core.data.formats.images import Image
from sft_core.data.formats.json_text import encode
from sft_core.store.records import Conversation, Example, TextExample


def encode_example(example: Example, *, sort_keys: bool = False) -> bytes:
    """Return an example as JSON.

    Args:
        example: The example.
        sort_keys: True to compute an identity. Otherwise keys keep their order, because templates may print objects.
    """
    if isinstance(example, TextExample):
        fields = {"prompt": example.prompt, "completion": example.completion, "has_prompt": example.has_prompt}
        return encode(fields)
    if isinstance(example, Conversation):
        return encode(
            {
                "messages": example.messages,
                "completion_index": example.completion_index,
                "tools": example.tools,
                "chat_template_kwargs": example.chat_template_kwargs,
            },
            sort_keys=sort_keys,
        )
    return encode({"input_ids": example.input_ids, "loss_mask": example.loss_mask})


def encode_images(images: list[Image]) -> bytes | None:
    """Return the row's images as a JSON list; None if it has no images."""
    return encode(images) if images else None
