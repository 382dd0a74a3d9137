"""The processor of a vision-language model: how many tokens an image takes in a text, and what the model sees of it.

    text        <|user|><image>What is it?          what the template writes: one placeholder an image
    sizes       [(480, 640)]                        (height, width)
    expansion   <image><image><image><image>        what stands there for the model, in every way the processor's own

What stands for an image hangs on the sizes of its row's images alone, so it is asked with blank images, once for each
combination of sizes; the pixels are made in the batch, where the processor is asked again, with the images. Asking
costs what resizing costs: on one core, for photos of about 400 x 550, 6 ms with Gemma 3, 11 with Qwen 2.5 VL, 27 with
LLaVA OneVision, 60 with Idefics 3; up to five times as much if the values of pixels were made as well. A known answer
costs 0.5 us.

The processor's class is used without its videos: these would need torchvision, and no video is trained on here.
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
"""What models call the input that is 1 where an image's token stands."""
_OF_TEXTS = ("input_ids", "attention_mask", "text_replacement_offsets", *TOKEN_TYPES)
_LOADING = threading.Lock()
_WITHOUT_VALUES = {"do_rescale": False, "do_normalize": False, "resample": 0}
"""How a processor is asked where only sizes matter: they do not hang on the values of pixels."""

Size = tuple[int, int]
"""(height, width) of an image in pixels."""


class ProcessorRef(BaseModel):
    """A processor's folder and the digest of its files, with its tokenizer."""

    model_config = ConfigDict(frozen=True)

    tokenizer: TokenizerRef
    content_digest: str

    def fingerprint(self) -> dict[str, Any]:
        """Content, the tokenizer's, and the versions of what else decides about sizes; not the folder."""
        versions = {"pillow": importlib.metadata.version("pillow")}
        return {"content": self.content_digest, "tokenizer": self.tokenizer, **versions}


@dataclass(frozen=True, slots=True)
class ImageTokens:
    """What stands for images in texts, for processes that have not loaded the processor."""

    processor: ProcessorRef
    placeholder: str
    """What a template writes for an image, once."""
    ids: tuple[int, ...]
    """At whose places the model puts what it sees."""
    spellings: tuple[str, ...]
    """Of the placeholder and of all `ids`: what data must not be able to forge."""

    def places(self, text: str, literals: Sequence[int]) -> list[int]:
        """Where each placeholder of a text begins, but for what the data spells.

        Args:
            text: Before its placeholders are expanded.
            literals: Flat [start, end) pairs of characters of what the data spells.
        """
        spelled = list(zip(literals[::2], literals[1::2], strict=True))
        found = (match.span() for match in re.finditer(re.escape(self.placeholder), text))
        return [start for start, end in found if not any(a < end and start < b for a, b in spelled)]

    def vision(self) -> "VisionProcessor":
        """Load the processor itself."""
        return load_processor(self.processor)


class Expansion(NamedTuple):
    """What stands in the text for the images of one row."""

    texts: tuple[str, ...]
    """[images] in place of each placeholder."""
    num_image_tokens: int
    """Tokens in all of them that are one of `image_token_ids`."""


class Pixels(NamedTuple):
    """What a model sees of the images of some documents."""

    inputs: dict[str, "Tensor"]
    """By the model's names, `pixel_values` and what belongs to it; not all have documents as their first dimension."""
    num_image_tokens: list[int]
    """[documents] tokens of each that are an image's."""


def locate_processor(tokenizer: TokenizerRef, digests: FileDigests) -> ProcessorRef | None:
    """Find the image processor that lies with a tokenizer; None where there is none, as with a text model."""
    files = [tokenizer.folder / name for name in PROCESSOR_FILES if (tokenizer.folder / name).is_file()]
    if not any(_has_images(file) for file in files):
        return None
    return ProcessorRef(tokenizer=tokenizer, content_digest=digests.of_folder(tokenizer.folder, files))


def _has_images(file: Path) -> bool:
    if file.name != "processor_config.json":
        return file.name == "preprocessor_config.json"
    return "image_processor" in orjson.loads(file.read_bytes())


class VisionProcessor:
    """A processor as data and batches need it."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self.image_token: str = processor.image_token
        """What a template writes for an image, once."""
        self.image_token_ids = tuple(int(token) for token in processor.image_token_ids)
        """The ids at whose places the model puts what it sees."""
        self.token_types = tuple(name for name in TOKEN_TYPES if name in processor.model_input_names)
        """Those of `TOKEN_TYPES` that the model takes."""
        self.expansion = functools.lru_cache(maxsize=1 << 14)(self._ask_expansion)
        """The sizes of a row's images, a tuple → what stands in the text for them."""

    def expansions(self, sizes: Sequence[Size]) -> tuple[str, ...]:
        """What stands in the text for each image of a row.

        Args:
            sizes: Of all images of the row, in order: some models show one image larger than each of several.
        """
        return self.expansion(tuple(sizes)).texts

    @property
    def spellings(self) -> tuple[str, ...]:
        """Of the placeholder and of all `image_token_ids`, as the tokenizer writes them."""
        names = self._processor.tokenizer.convert_ids_to_tokens(list(self.image_token_ids))
        return tuple(dict.fromkeys([self.image_token, *names]))

    def _ask_expansion(self, sizes: tuple[Size, ...]) -> Expansion:
        from PIL import Image

        images = [Image.new("RGB", (width, height)) for height, width in sizes]
        try:
            made = self._ask([images], **_WITHOUT_VALUES)
        except Exception:  # whatever code it is: what it says without them is what it says
            made = self._ask([images])
        (places,), (ids,) = made["text_replacement_offsets"], made["input_ids"]
        return Expansion(
            tuple(place["replacement"] for place in places), sum(token in self.image_token_ids for token in ids)
        )

    def pixels(self, documents: Sequence[Sequence["Image"]]) -> Pixels:
        """Make what the model sees.

        Args:
            documents: The images of each document; at least one each, in RGB.
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
    """Load a processor, and take what texts need of it.

    Raises:
        RecipeError: as `load_processor`.
    """
    vision = load_processor(ref)
    return ImageTokens(ref, vision.image_token, vision.image_token_ids, vision.spellings)


def load_processor(ref: ProcessorRef) -> VisionProcessor:
    """Load a processor, once per process.

    Raises:
        RecipeError: if its files are broken, or it shows no images.
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
    """The class that the files name, without its videos; where they name none, transformers chooses."""
    import transformers

    for name in (*PROCESSOR_FILES, "tokenizer_config.json"):
        file = folder / name
        named = orjson.loads(file.read_bytes()).get("processor_class") if file.is_file() else None
        found = getattr(transformers, named, None) if named else None
        if found is not None:
            return without_videos(found)
    return transformers.AutoProcessor


def without_videos(processor_class: Any) -> Any:
    """A class of processors whose objects are made of a tokenizer and an image processor alone."""
    parts = [part for part in processor_class.get_attributes() if part != "video_processor"]
    members = {"get_attributes": classmethod(lambda _: parts), "__module__": processor_class.__module__}
    return type(processor_class.__name__, (processor_class,), members)
