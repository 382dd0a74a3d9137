"""A training of images and text: rows, their blocks as the stages of data would write them, and a plan."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import torch
from datasets import Dataset
from PIL.Image import Image
from transformers import AutoConfig, AutoModelForImageTextToText, set_seed

from sft_core.pretrained.model import ModelConfig, ModelRef
from sft_core.pretrained.processor import ProcessorRef, load_processor, locate_processor
from sft_core.pretrained.tokenizer import load_tokenizer, locate_tokenizer
from sft_core.store.file_digests import FileDigests
from sft_core.store.image_store import ImageRef, ImageStore
from sft_core.training import TrainingConfig, TrainPlan
from tests.vision_families import FAMILIES, Family, picture

OPTIONS: dict[str, Any] = {
    "max_steps": 5,
    "per_device_train_batch_size": 2,
    "learning_rate": 1e-3,
    "logging_steps": 1,
    "train_sampling_strategy": "sequential",
    "gradient_checkpointing": False,
    "save_strategy": "no",
    "seed": 11,
}


@dataclass(frozen=True)
class Row:
    """A question about images, and its answer."""

    question: str
    answer: str
    images: Sequence[Image] = field(default_factory=list)


def rows(count: int = 12, with_text_alone: bool = False) -> list[Row]:
    """Rows of one or two images of several sizes; of every third there is none, where asked."""
    sizes = [(28, 28), (40, 60), (70, 30), (56, 56)]
    made = []
    for number in range(count):
        num_images = 0 if with_text_alone and number % 3 == 1 else 1 + (number % 4 == 2)
        images = [picture(*sizes[(number + more) % 4], seed=10 * number + more) for more in range(num_images)]
        made.append(Row(f"What is {'x' * (number % 5)}?", f"It is {number * number}.", images))
    return made


@dataclass(frozen=True)
class VisionTraining:
    """A folder with a family's processor, weights and data."""

    family: Family
    root: Path

    @classmethod
    def of(cls, name: str, root: Path) -> "VisionTraining":
        """Write processor and weights."""
        made = cls(FAMILIES[name], root)
        made.family.save_processor(root / "processor")
        set_seed(3)
        config = AutoConfig.for_model(**made.family.model_config())
        model = AutoModelForImageTextToText.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():  # Gemma's projector begins at zero, and hides its encoder
                if parameter.ndim > 1 and not parameter.any():
                    parameter.normal_(std=0.05)
        model.save_pretrained(root / "base")
        return made

    def linked_to(self, root: Path) -> "VisionTraining":
        """The same in another folder, to train and to write in: of files that stay as they are, other names."""

        def link(source: str, target: str) -> None:
            (shutil.copy if Path(source).name.startswith("digests") else os.link)(source, target)

        shutil.copytree(self.root, root, copy_function=link)
        return VisionTraining(self.family, root)

    @property
    def processor(self) -> ProcessorRef:
        digests = FileDigests(self.root / "digests.json")
        tokenizer = locate_tokenizer(
            ModelConfig(path=str(self.root / "base"), tokenizer=self._processor_folder), digests
        )
        found = locate_processor(tokenizer, digests)
        assert found is not None
        return found

    @property
    def _processor_folder(self) -> str:
        return str(self.root / "processor")

    def model(self, **changes: Any) -> ModelRef:
        fields: dict[str, Any] = {
            "path": str(self.root / "base"),
            "commit": None,
            "init": "pretrained",
            "config": {},
            "dtype": "float32",
            "attn_implementation": "sdpa",
            "trust_remote_code": False,
            "content_digest": "base",
        }
        return ModelRef(**{**fields, **changes})

    def documents(self, of: Sequence[Row]) -> list[dict[str, Any]]:
        """Ids with every image expanded, a mask that leaves out prompts, and references to the images."""
        vision, tokenizer = load_processor(self.processor), load_tokenizer(self.processor.tokenizer)
        store = ImageStore(self.root / "images")
        made = []
        for row in of:
            parts = (self.family.image * len(row.images) + row.question).split(vision.image_token)
            sizes = [(image.height, image.width) for image in row.images]
            expansions = vision.expansions(sizes) if sizes else ()
            prompt = parts[0] + "".join(map("".join, zip(expansions, parts[1:], strict=True)))
            ids = tokenizer.encode(prompt, add_special_tokens=False)
            answer = [*tokenizer.encode(row.answer, add_special_tokens=False), tokenizer.eos_token_id]
            refs = [ImageRef(store.put(png(image)), image.width, image.height) for image in row.images]
            made.append({"input_ids": ids + answer, "loss_mask": [0] * len(ids) + [1] * len(answer), "images": refs})
        return made

    def write_blocks(self, split: str, documents: Sequence[dict[str, Any]], per_block: int = 1) -> Path:
        """Blocks of so many documents each, in order."""
        blocks = []
        for start in range(0, len(documents), per_block):
            of_block = documents[start : start + per_block]
            images = [
                [{"digest": i.digest, "width": i.width, "height": i.height} for i in d["images"]] for d in of_block
            ]
            blocks.append(
                {
                    "input_ids": [token for document in of_block for token in document["input_ids"]],
                    "loss_mask": [mask for document in of_block for mask in document["loss_mask"]],
                    "seq_lengths": [len(document["input_ids"]) for document in of_block],
                    "images": orjson.dumps(images).decode() if any(images) else None,
                }
            )
        Dataset.from_list(blocks).save_to_disk(str(self.root / split))
        return self.root / split

    def plan(self, name: str, train: str = "train", model: ModelRef | None = None, **options: Any) -> TrainPlan:
        """A training on blocks that were written."""
        (self.root / name).mkdir(exist_ok=True)
        processes = options.pop("num_processes", 1)
        return TrainPlan(
            training=TrainingConfig(**{**OPTIONS, **options}),
            model=model or self.model(),
            tokenizer_folder=Path(self._processor_folder),
            chat_template=None,
            trust_remote_code=False,
            train_folder=self.root / train,
            eval_folder=self.root / "eval" if (self.root / "eval").exists() else None,
            output_folder=self.root / name,
            num_processes=processes,
            processor=self.processor,
            images_folder=self.root / "images",
        )

    def lines(self, name: str) -> list[dict[str, float]]:
        """What a training reported."""
        return [json.loads(line) for line in (self.root / name / "metrics.jsonl").read_text().splitlines()]

    def losses(self, name: str) -> list[float]:
        return [line["loss"] for line in self.lines(name) if "loss" in line]


def png(image: Image) -> bytes:
    import io

    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
