"""An answer as it is being made, word by word."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from transformers import TextStreamer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Spoken(TextStreamer):
    """Hands on what transformers has decoded for good: whole words, without special tokens and without the prompt.

    It works in the thread that generates, so that an interruption ends the generation and no error is lost.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", write: Callable[[str], Any]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._write = write
        self.text = ""
        """The answer so far."""

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Take the next words."""
        self.text += text
        if text:
            self._write(text)
