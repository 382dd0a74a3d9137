"""The processor of a vision-language model: it expands images to tokens, and makes the pixel values for the model.

    text        <|user|><image>What is it?          output of the chat template: one placeholder per image
    sizes       [(480, 640)]                        (height, width)
    expansion   <image><image><image><image>        input of the model, exactly as the processor writes it

The expansion of an image depends only on the sizes of its row's images. So the processor is called with blank images,
once for each combination of sizes. The pixel values are made later, for each batch, by a second call with the real
images. The first call costs as much as resizing: on one core, for photos of about 400 x 550, 6 ms with Gemma 3, 11 with
Qwen 2.5 VL, 27 with LLaVA OneVision, 60 with Idefics 3. Making the pixel values as well would multiply that by as
much as five. A cached expansion costs 0.5 us.

The processor is loaded without its video processor, which would need torchvision; training on videos is not supported.
"""

import functools
import importlib.metadata
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict

from sft_core.errors import RecipeError
from sft_core.pretrained.tokenizer import TokenizerRef
from sft_core.store.file_digests import FileDigests

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

PROCESSOR_FILES = ["processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json"]
TOKEN_TYPES = ("token_type_ids", "mm_token_type_ids")
"""Names of the model input that is 1 at the positions of image tokens."""
_OF_TEXTS = ("input_ids", "attention_mask", "text_replacement_offsets", *TOKEN_TYPES)
_LOADING = threading.Lock()
_WITHOUT_VALUES = {"do_rescale": False, "do_normalize": False, "resample": 0}
"""Options of a call to the processor that needs only sizes, which do not depend on pixel values."""

Size = tuple[int, int]
"""(height, width) of an image in pixels."""


class ProcessorRef(BaseModel):
    """A processor: its tokenizer, in whose folder it is stored, and the digest of its files."""

    model_config = ConfigDict(frozen=True)

    tokenizer: TokenizerRef
    content_digest: str

    def fingerprint(self) -> dict[str, Any]:
        """Return the content digest, the tokenizer, and the version of Pillow, which affects sizes; not the folder."""
        versions = {"pillow": importlib.metadata.version("pillow")}
        return {"content": self.content_digest, "tokenizer": self.tokenizer, **versions}


@dataclass(frozen=True, slots=True)
class ImageTokens:
    """The tokens of images in texts, for processes that have not loaded the processor."""

    processor: ProcessorRef
    placeholder: str
    """Text that a chat template writes for one image."""
    ids: tuple[int, ...]
    """Ids of the tokens whose embeddings the model replaces by those of images."""
    spellings: tuple[str, ...]
    """Texts of the placeholder and of all `ids`, which data must not be able to forge."""

    def places(self, text: str, literals: Sequence[int]) -> list[int]:
        """Return the character offset of each placeholder in a text, without those that come from the data.

        Args:
            text: The text before its placeholders are expanded.
            literals: Flat [start, end) pairs of the character ranges that come from the data.
        """
        spelled = list(zip(literals[::2], literals[1::2], strict=True))
        found = (match.span() for match in re.finditer(re.escape(self.placeholder), text))
        return [start for start, end in found if not any(a < end and start < b for a, b in spelled)]

    def vision(self) -> "VisionProcessor":
        """Load the processor."""
        return load_processor(self.processor)


class Expansion(NamedTuple):
    """The texts that replace the image placeholders of one row."""

    texts: tuple[str, ...]
    """[images] replacement of each placeholder."""
    num_image_tokens: int
    """Number of tokens in all of them that are in `image_token_ids`."""


class Pixels(NamedTuple):
    """Model inputs for the images of a number of documents."""

    inputs: dict[str, "Tensor"]
    """Tensors by the names of the model's arguments: `pixel_values` and those that belong to it. Their first dimension
    is not always the documents."""
    num_image_tokens: list[int]
    """[documents] number of image tokens in each."""


def locate_processor(tokenizer: TokenizerRef, digests: FileDigests) -> ProcessorRef | None:
    """Find the image processor in the folder of a tokenizer; None if it contains none, as with a text model."""
    files = [tokenizer.folder / name for name in PROCESSOR_FILES if (tokenizer.folder / name).is_file()]
    if not any(_has_images(file) for file in files):
        return None
    return ProcessorRef(tokenizer=tokenizer, content_digest=digests.of_folder(tokenizer.folder, files))


def _has_images(file: Path) -> bool:
    if file.name != "processor_config.json":
        return file.name == "preprocessor_config.json"
    return "image_processor" in orjson.loads(file.read_bytes())


class VisionProcessor:
    """Wrapper of a loaded processor with the operations that data preparation and batches need."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self.image_token: str = processor.image_token
        """Text that a chat template writes for one image."""
        self.image_token_ids = tuple(int(token) for token in processor.image_token_ids)
        """Ids of the tokens whose embeddings the model replaces by those of images."""
        self.token_types = tuple(name for name in TOKEN_TYPES if name in processor.model_input_names)
        """Those of `TOKEN_TYPES` that are inputs of the model."""
        self.expansion = functools.lru_cache(maxsize=1 << 14)(self._ask_expansion)
        """Function that maps the sizes of a row's images, a tuple, to their `Expansion`; cached."""

    def expansions(self, sizes: Sequence[Size]) -> tuple[str, ...]:
        """Return the text that replaces the placeholder of each image of a row.

        Args:
            sizes: (height, width) of all images of the row, in order, because some models show a single image larger
                than each of several.
        """
        return self.expansion(tuple(sizes)).texts

    @property
    def spellings(self) -> tuple[str, ...]:
        """Texts of the placeholder and of all `image_token_ids`, as the tokenizer writes them."""
        names = self._processor.tokenizer.convert_ids_to_tokens(list(self.image_token_ids))
        return tuple(dict.fromkeys([self.image_token, *names]))

    def _ask_expansion(self, sizes: tuple[Size, ...]) -> Expansion:
        from PIL import Image

        images = [Image.new("RGB", (width, height)) for height, width in sizes]
        try:
            made = self._ask([images], **_WITHOUT_VALUES)
        except Exception:  # the class of a processor is arbitrary code and may not know these options
            made = self._ask([images])
        (places,), (ids,) = made["text_replacement_offsets"], made["input_ids"]
        return Expansion(
            tuple(place["replacement"] for place in places), sum(token in self.image_token_ids for token in ids)
        )

    def pixels(self, documents: Sequence[Sequence["Image"]]) -> Pixels:
        """Make the model inputs for images.

        Args:
            documents: The images of each document, in RGB; at least one per document.
        """
        made = self._ask([list(images) for images in documents], return_tensors="pt", padding=True)
        is_image = [[token in self.image_token_ids for token in ids] for ids in made["input_ids"].tolist()]
        inputs = {name: value for name, value in made.items() if name not in _OF_TEXTS}
        return Pixels(inputs, [sum(of_document) for of_document in is_image])

    def _ask(self, documents: list[list["Image"]], **options: Any) -> Any:
        texts = [self.image_token * len(images) for images in documents]
        return self._processor(
            images=documents, text=texts, add_special_tokens=False, return_text_replacement_offsets=True, **options
        )


def image_tokens_of(ref: ProcessorRef) -> ImageTokens:
    """Load a processor, and return its image tokens.

    Raises:
        RecipeError: as in `load_processor`.
    """
    vision = load_processor(ref)
    return ImageTokens(ref, vision.image_token, vision.image_token_ids, vision.spellings)


def load_processor(ref: ProcessorRef) -> VisionProcessor:
    """Load a processor, once per process.

    Raises:
        RecipeError: if its files are broken, or it has no image token.
    """
    with _LOADING:
        return _load(ref.tokenizer.folder, ref.tokenizer.trust_remote_code, ref.content_digest)


@functools.lru_cache(maxsize=4)
def _load(folder: Path, trust_remote_code: bool, content_digest: str) -> VisionProcessor:
    try:
        processor = _class_of(folder).from_pretrained(folder, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
        raise RecipeError(
            f"model.tokenizer: expected an image processor that transformers can load in '{folder}', found "
            f"{type(error).__name__}: {error}"
        ) from error
    if getattr(processor, "image_token", None) is None:
        raise RecipeError(
            f"model.tokenizer: {type(processor).__name__} in '{folder}' has no token that stands for an image, so "
            "images cannot be placed in its texts"
        )
    return VisionProcessor(processor)


def _class_of(folder: Path) -> Any:
    """Return the class named in the files, without video support; if none is named, `AutoProcessor`."""
    import transformers

    for name in (*PROCESSOR_FILES, "tokenizer_config.json"):
        file = folder / name
        named = orjson.loads(file.read_bytes()).get("processor_class") if file.is_file() else None
        found = getattr(transformers, named, None) if named else None
        if found is not None:
            return without_videos(found)
    return transformers.AutoProcessor


def without_videos(processor_class: Any) -> Any:
    """Derive a processor class whose objects need only a tokenizer and an image processor."""
    parts = [part for part in processor_class.get_attributes() if part != "video_processor"]
    members = {"get_attributes": classmethod(lambda _: parts), "__module__": processor_class.__module__}
    return type(processor_class.__name__, (processor_class,), members)
