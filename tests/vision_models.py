"""Models of the tiny vision families, their processors on disk, and prompts that show pictures to them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModelForImageTextToText, set_seed

from sft_core.modeling.pixels import PixelMaker
from sft_core.pretrained.processor import ProcessorRef, locate_processor
from sft_core.pretrained.tokenizer import TokenizerRef
from sft_core.registry.serving import ChatModel
from sft_core.store.file_digests import FileDigests
from sft_core.store.image_store import ImageRef, ImageStore
from tests.vision_families import FAMILIES, Family, picture

Size = tuple[int, int]
"""(height, width)"""
SIZES: list[list[Size]] = [[(30, 50)], [(60, 40), (28, 28)], [], [(90, 33)], [], [(56, 56), (40, 80), (30, 30)]]
"""Of the pictures of six prompts: with one, with several, with none."""


@dataclass
class Seeing:
    """A model, and all that it takes to show it pictures."""

    family: Family
    model: Any
    tokenizer: Any
    pixels: PixelMaker
    store: ImageStore

    def show(self, sizes: list[Size], seed: int = 0) -> list[ImageRef]:
        """Put pictures of noise into the store."""
        return [keep(self.store, height, width, seed + number) for number, (height, width) in enumerate(sizes)]

    def prompt(self, images: list[ImageRef], words: str) -> list[int]:
        """What a model is asked of images: expanded, in the words of its template."""
        vision = self.pixels.vision()
        sizes = [(image.height, image.width) for image in images]
        written = vision.expansions(sizes) if sizes else ()
        shown = "".join(self.family.image.replace(vision.image_token, expansion) for expansion in written)
        text = f"<|im_start|>user\n{shown}{words}<|im_end|>\n<|im_start|>assistant\n"
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def keep(store: ImageStore, height: int, width: int, seed: int) -> ImageRef:
    """Put one picture into a store."""
    import io

    written = io.BytesIO()
    picture(height, width, seed).save(written, "png")
    return ImageRef(store.put(written.getvalue()), width, height)


def processor_ref(folder: Path) -> ProcessorRef:
    """The processor in a folder."""
    ref = locate_processor(
        TokenizerRef(folder=folder, content_digest="t", commit=None), FileDigests(folder.parent / "digests.sqlite")
    )
    assert ref is not None
    return ref


def served(name: str, folder: Path) -> Seeing:
    """The same with its weights in `model/`, as a training leaves it."""
    found = seeing(name, folder)
    found.model.save_pretrained(folder / "model")
    return found


def chat_model(folder: Path) -> ChatModel:
    """A folder's model, as it is served."""
    return ChatModel(folder)


def seeing(name: str, folder: Path) -> Seeing:
    """Make a family's model with weights so large that answers depend on what is seen.

    Args:
        name: Of the family.
        folder: Gets `model/`, as a training leaves it, and images.
    """
    family = FAMILIES[name]
    family.save_processor(folder / "model")
    tokenizer = family.processor().tokenizer
    config = family.model_config()
    set_seed(3)
    model = AutoModelForImageTextToText.from_config(AutoConfig.for_model(config.pop("model_type"), **config)).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.3)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    store = ImageStore(folder / "images")
    return Seeing(family, model, tokenizer, PixelMaker(processor_ref(folder / "model"), store.folder), store)
