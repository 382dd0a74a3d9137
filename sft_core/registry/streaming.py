"""Streaming of an answer, word by word."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from transformers import TextStreamer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Spoken(TextStreamer):
    """Streamer that forwards text once transformers has finalized it: whole words, without special tokens and prompt.

    It runs in the thread that generates, so that an interruption ends the generation and no error is lost.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", write: Callable[[str], Any]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._write = write
        self.text = ""
        """Answer generated so far."""

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Append the next words to the answer and forward them."""
        self.text += text
        if text:
            self._write(text)
