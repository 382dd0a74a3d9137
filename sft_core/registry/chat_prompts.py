"""Prompts for a chat model from the messages of a request, with images for a vision-language model.

    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO…"}},
                                 {"type": "text", "text": "What is it?"}]}

    text      <|im_start|>user⏎<|vision_start|><|image_pad|><|vision_end|>What is it?<|im_end|>⏎…
    ids       the same, with as many <|image_pad|> as the image takes tokens, as in training; images are returned too

Images are sent inside the request. Nothing is downloaded, and no file of the serving machine is read.
"""

import functools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from sft_core.data.chat import ChatConfig, chat_template_of, locate_template
from sft_core.data.chat.contents import in_parts
from sft_core.data.chat.grammar import grammar_of
from sft_core.data.formats.dialects.message_list import messages_of
from sft_core.data.formats.images import place_images
from sft_core.data.formats.rejection import RowRejectedError
from sft_core.data.images import ImagesConfig
from sft_core.data.images.refusal import ImageRefusedError
from sft_core.data.images.take import ImageTaker
from sft_core.errors import RecipeError
from sft_core.pretrained.processor import ImageTokens, ProcessorRef, image_tokens_of, locate_processor
from sft_core.pretrained.tokenizer import TokenizerRef
from sft_core.store.file_digests import FileDigests
from sft_core.store.image_store import ImageRef, ImageStore
from sft_core.store.records import Conversation, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Prompt = str | Sequence[Mapping[str, Any]]
"""Plain text, or the messages of the conversation so far."""
Encoded = tuple[list[int], list[ImageRef]]
"""The token ids of a prompt, and its images in order."""


class ChatPrompts:
    """Encoder of prompts, in the format that the model was trained on."""

    def __init__(self, folder: Path, tokenizer: "PreTrainedTokenizerBase") -> None:
        """Read from a model's folder which prompts the model accepts.

        Args:
            folder: Folder of the model.
            tokenizer: Tokenizer loaded from that folder.
        """
        self._tokenizer = tokenizer
        self.processor = _processor_in(folder)
        """Image processor; None for a model without vision."""

    @property
    def is_chat(self) -> bool:
        """True if messages are accepted; a model without a chat template accepts only plain text."""
        return self._tokenizer.chat_template is not None

    def encode(self, prompt: Prompt, store: ImageStore) -> Encoded:
        """Encode plain text, or messages with the chat template that the model was trained with.

        Args:
            prompt: Text, or messages whose contents are texts or lists of parts.
            store: Store into which images are written.

        Raises:
            RecipeError: if messages are sent and there is no chat template or it rejects them, if an image cannot be
                read, or if the model accepts no images.
        """
        if isinstance(prompt, str):
            return list(self._tokenizer(prompt)["input_ids"]), []
        if not self.is_chat:
            raise RecipeError("messages: this model has no chat template and takes plain text; send `prompt`")
        messages, images = self._read(prompt, store)
        text = self._render(messages)
        if images:
            text = self._expanded(text, images)
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"]), images

    def _read(self, prompt: Sequence[Mapping[str, Any]], store: ImageStore) -> tuple[Sequence[Message], list[ImageRef]]:
        """Return the messages, with a placeholder part for each image, and the images."""
        given = [_plain(message) for message in prompt]
        if not any(isinstance(message.get("content"), list) for message in given):
            return given, []
        try:
            example, images = place_images(Conversation(messages_of(given, "messages")), {})
            assert isinstance(example, Conversation), "it was one"
            return example.messages, self._taken(images, store)
        except (RowRejectedError, ImageRefusedError) as error:
            raise RecipeError(f"messages: {error}") from error

    def _taken(self, images: Sequence[str | dict[str, str]], store: ImageStore) -> list[ImageRef]:
        if images and self.processor is None:
            raise RecipeError(
                "messages: an image was sent, but this model accepts no images: its folder has no image processor "
                "(preprocessor_config.json); send text alone, or use a vision-language model"
            )
        for image in images:
            if isinstance(image, str):
                raise RecipeError(
                    f"messages: an image is named as '{image}', but no file is read and nothing is downloaded for a "
                    "request; send the image itself, as a data URL: data:image/png;base64,…"
                )
        taker = ImageTaker(ImagesConfig().max_pixels, [], store)
        return taker.take(0, orjson.dumps(list(images)).decode())

    def _render(self, messages: Sequence[Message]) -> str:
        from jinja2 import TemplateError

        if self._reads_only_parts:
            messages = [{**message, "content": in_parts(message.get("content"))} for message in messages]
        try:
            return str(self._tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True))
        except TemplateError as error:
            roles = ", ".join(str(message.get("role")) for message in messages)
            raise RecipeError(f"messages: the model's chat template rejects the roles {roles}: {error}") from error

    def _expanded(self, text: str, images: Sequence[ImageRef]) -> str:
        """Replace the placeholder of each image by the image's tokens."""
        tokens = self._image_tokens
        places = tokens.places(text, ())
        if len(places) != len(images):
            raise RecipeError(
                f"messages: expected {tokens.placeholder} {len(images)} times, once for each image, in the output of "
                f"the model's chat template, found it {len(places)} times; no text may contain it, and images are only "
                "possible in roles for which the template supports them"
            )
        written = tokens.vision().expansions([(image.height, image.width) for image in images])
        pieces, behind = [], 0
        for place, expansion in zip(places, written, strict=True):
            pieces += [text[behind:place], expansion]
            behind = place + len(tokens.placeholder)
        return "".join([*pieces, text[behind:]])

    @functools.cached_property
    def _image_tokens(self) -> ImageTokens:
        assert self.processor is not None, "checked when the images were taken"
        return image_tokens_of(self.processor)

    @functools.cached_property
    def _reads_only_parts(self) -> bool:
        """True if the template accepts contents only as lists of parts, as those of some vision-language models do."""
        if self.processor is None:
            return False
        config = ChatConfig()
        template = chat_template_of(config, locate_template(config), self.processor.tokenizer)
        return template is not None and grammar_of(template).reads_only_parts


@contextmanager
def passing_images() -> Iterator[ImageStore]:
    """Create a temporary store for the images of one request."""
    with tempfile.TemporaryDirectory(prefix="sft-images-") as folder:
        yield ImageStore(Path(folder))


def _processor_in(folder: Path) -> ProcessorRef | None:
    tokenizer = TokenizerRef(folder=folder, content_digest="of the model", commit=None)
    with tempfile.TemporaryDirectory() as digests:
        return locate_processor(tokenizer, FileDigests(Path(digests) / "digests.sqlite"))


def _plain(value: Any) -> Any:
    """Convert the arrays and mappings of a table's cells to lists and dicts."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
