"""Prompts for a chat model, from requests as people and programs send them; with images for a model that sees them.

    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO…"}},
                                 {"type": "text", "text": "What is it?"}]}

    text      <|im_start|>user⏎<|vision_start|><|image_pad|><|vision_end|>What is it?<|im_end|>⏎…
    ids       the same with as many <|image_pad|> as the image takes, as in training; and the image beside them

An image comes inside the request. Nothing is downloaded, and no file of the machine that answers is read.
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
"""Plain text, or the messages so far."""
Encoded = tuple[list[int], list[ImageRef]]
"""The ids of a prompt, and its images in order."""


class ChatPrompts:
    """Encodes prompts as the model was trained on them."""

    def __init__(self, folder: Path, tokenizer: "PreTrainedTokenizerBase") -> None:
        """Find out what the model of a folder takes.

        Args:
            folder: Of the model.
            tokenizer: The one that lies there.
        """
        self._tokenizer = tokenizer
        self.processor = _processor_in(folder)
        """None of a model that sees no images."""

    @property
    def is_chat(self) -> bool:
        """Whether messages are taken; a model without a chat template takes plain text alone."""
        return self._tokenizer.chat_template is not None

    def encode(self, prompt: Prompt, store: ImageStore) -> Encoded:
        """Encode plain text, or messages by the template that the model was trained with.

        Args:
            prompt: Text, or messages whose contents are texts or lists of parts.
            store: Gets the images.

        Raises:
            RecipeError: if there is no template, or it refuses the messages; if something is no image, or the model
                sees none.
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
        """The messages with a bare part for each image, and the images."""
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
                "messages: an image was sent, and this model sees none: no image processor (preprocessor_config.json) "
                "lies in its folder; send text alone, or ask a vision-language model"
            )
        for image in images:
            if isinstance(image, str):
                raise RecipeError(
                    f"messages: an image is named as '{image}', and no file is read and nothing downloaded for a "
                    "request; send the image itself, as a URL of data: data:image/png;base64,…"
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
            raise RecipeError(f"messages: the model's chat template refuses the roles {roles}: {error}") from error

    def _expanded(self, text: str, images: Sequence[ImageRef]) -> str:
        """Put what stands for each image in the place of its placeholder."""
        tokens = self._image_tokens
        places = tokens.places(text, ())
        if len(places) != len(images):
            raise RecipeError(
                f"messages: expected {len(images)} times {tokens.placeholder}, one for each image, in what the model's "
                f"chat template makes of them, found {len(places)}; a text must not hold it, and every role must be "
                "one that the template shows images of"
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
        """Whether the template writes contents in parts, and no texts, as those of some models with images."""
        if self.processor is None:
            return False
        config = ChatConfig()
        template = chat_template_of(config, locate_template(config), self.processor.tokenizer)
        return template is not None and grammar_of(template).reads_only_parts


@contextmanager
def passing_images() -> Iterator[ImageStore]:
    """A store for the images of one request."""
    with tempfile.TemporaryDirectory(prefix="sft-images-") as folder:
        yield ImageStore(Path(folder))


def _processor_in(folder: Path) -> ProcessorRef | None:
    tokenizer = TokenizerRef(folder=folder, content_digest="of the model", commit=None)
    with tempfile.TemporaryDirectory() as digests:
        return locate_processor(tokenizer, FileDigests(Path(digests) / "digests.sqlite"))


def _plain(value: Any) -> Any:
    """Lists and dicts, whatever a table makes of them."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
