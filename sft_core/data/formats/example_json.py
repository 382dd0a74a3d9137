"""An example as it stands in the `example` column: JSON whose keys tell what it is.

TextExample    {"prompt", "completion", "has_prompt"}
Conversation   {"messages", "completion_index", "tools", "chat_template_kwargs"}
TokenExample   {"input_ids", "loss_mask"}
"""

from sft_core.data.formats.images import Image
from sft_core.data.formats.json_text import encode
from sft_core.store.records import Conversation, Example, TextExample


def encode_example(example: Example, *, sort_keys: bool = False) -> bytes:
    """Write an example.

    Args:
        example: What to write.
        sort_keys: For identity; templates may print objects with their keys as they came.
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
    """Write the row's images as a list; None where it has none."""
    return encode(images) if images else None
