"""Check and insert the placeholders of images in a text: exactly one per image, not counting those spelled in the data.

conversation  what the template writes      <|im_start|>user⏎<|vision_start|><|image_pad|><|vision_end|>What is it?
plain text    the model's own token         <|image_pad|>What is it?      is kept
              or a mark                     <image>What is it?            is replaced by what the template writes
"""

from collections.abc import Sequence
from dataclasses import replace

from sft_core.data.chat.template import TemplateRefusedError
from sft_core.pretrained.processor import ImageTokens
from sft_core.store.records import TextExample

MARK = "<image>"
"""Model-independent mark for an image in plain text."""


def check_placeholders(text: str, literals: Sequence[int], num_images: int, tokens: ImageTokens) -> None:
    """Compare the number of placeholders in a rendering with the row's number of images.

    Raises:
        TemplateRefusedError: if the rendering has more or fewer placeholders than images.
    """
    num_found = len(tokens.places(text, literals))
    if num_found != num_images:
        raise TemplateRefusedError(f"the chat template writes {num_found} of {num_images} images")


def with_placeholders(example: TextExample, num_images: int, tokens: ImageTokens, written: str | None) -> TextExample:
    """Return plain text that has the model's own placeholder for each image.

    Args:
        example: Text with the model's placeholder, or with `MARK`, at the position of each image.
        num_images: Number of images of the row.
        tokens: Tokens that represent images.
        written: Text that the chat template writes for an image, which may be longer than the placeholder.

    Raises:
        TemplateRefusedError: if the number of placeholders or marks differs from `num_images`.
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
