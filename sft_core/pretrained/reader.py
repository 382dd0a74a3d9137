"""The tokenizer of a model together with the image processor, if it is a vision-language model."""

from dataclasses import dataclass

from sft_core.pretrained.processor import ImageTokens, ProcessorRef, image_tokens_of
from sft_core.pretrained.tokenizer import TokenizerRef


@dataclass(frozen=True, slots=True)
class Reader:
    """A tokenizer, and an image processor if the rows have images. Each is identified by its content."""

    tokenizer: TokenizerRef
    processor: ProcessorRef | None = None
    """None if no row has images, even if the model accepts images, so that a run on text alone keeps its keys."""

    @property
    def image_tokens(self) -> ImageTokens | None:
        """Image tokens of the processor, which is loaded for this; None without a processor."""
        return image_tokens_of(self.processor) if self.processor else None
