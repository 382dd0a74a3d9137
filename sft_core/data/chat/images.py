"""Where images stand in a text: one placeholder each, what spells it in the data aside.

conversation  what the template writes      <|im_start|>user⏎<|vision_start|><|image_pad|><|vision_end|>What is it?
plain text    the model's own token         <|image_pad|>What is it?      as it stands
              or a mark                     <image>What is it?            becomes what the template writes
"""

from collections.abc import Sequence
from dataclasses import replace

from sft_core.data.chat.template import TemplateRefusedError
from sft_core.pretrained.processor import ImageTokens
from sft_core.store.records import TextExample

MARK = "<image>"
"""What stands for an image in plain text that was written for no model in particular."""


def check_placeholders(text: str, literals: Sequence[int], num_images: int, tokens: ImageTokens) -> None:
    """Compare a rendering with the images that it should show.

    Raises:
        TemplateRefusedError: if it has more or fewer.
    """
    num_found = len(tokens.places(text, literals))
    if num_found != num_images:
        raise TemplateRefusedError(f"the chat template writes {num_found} of {num_images} images")


def with_placeholders(example: TextExample, num_images: int, tokens: ImageTokens, written: str | None) -> TextExample:
    """Plain text with the model's own token for each image.

    Args:
        example: Holds that token, or marks.
        num_images: Of the row.
        tokens: What stands for images.
        written: What the chat template writes for an image, which may be more than the token.

    Raises:
        TemplateRefusedError: if the text has more or fewer of either.
    """
    text, placeholder = f"{example.prompt}\0{example.completion}", tokens.placeholder
    num_tokens, num_marks = text.count(placeholder), text.count(MARK)
    if num_tokens == num_images:
        return example
    if num_tokens == 0 and num_marks == num_images:
        shown = written if written and written.count(placeholder) == 1 else placeholder
        prompt, completion = (part.replace(MARK, shown) for part in (example.prompt, example.completion))
        return replace(example, prompt=prompt, completion=completion)
    marks = placeholder if placeholder == MARK else f"{placeholder} or {MARK}"
    raise TemplateRefusedError(f"the text has {max(num_tokens, num_marks)} times {marks} for {num_images} images")
