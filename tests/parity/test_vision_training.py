"""Models of images trained side by side with a live `SFTTrainer` and its collator: the same rows, weights and order.

TRL takes the tokens that stand for an image for targets in language modelling; nothing of text follows from these, so
they carry no loss here. For the comparison they are taken out on TRL's side; one test shows what they do to its loss.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForImageTextToText
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from sft_core.pretrained.processor import load_processor
from sft_core.store.image_store import ImageRef, ImageStore
from sft_core.training.run import train
from tests.sft_core.training.vision_training import OPTIONS, VisionTraining, png
from tests.vision_families import FAMILIES, picture

pytestmark = pytest.mark.parity

KINDS = ("language modelling", "prompt-completion")
SIZES = [(28, 28), (40, 60), (70, 30), (56, 56)]


class WithoutImageTokens(DataCollatorForVisionLanguageModeling):
    """TRL's, but for the tokens of images among the targets."""

    image_token_ids: tuple[int, ...] = ()

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch = super().torch_call(examples)
        batch["labels"][torch.isin(batch["input_ids"], torch.tensor(self.image_token_ids))] = -100
        return batch


def examples(training: VisionTraining, kind: str) -> list[dict[str, Any]]:
    """Texts of one or two images."""
    made = []
    for number in range(10):
        images = [picture(*SIZES[(number + more) % 4], seed=10 * number + more) for more in range(1 + number % 2)]
        prompt = training.family.image * len(images) + f"What is {'x' * (number % 5)}?"
        answer = f"It is {number * number}.<|im_end|>"
        text = {"text": prompt + answer} if kind == KINDS[0] else {"prompt": prompt, "completion": answer}
        made.append({**text, "images": images})
    return made


def collator_for(training: VisionTraining, kind: str, of: Any = WithoutImageTokens) -> Any:
    made = of(training.family.processor(), completion_only_loss=kind == KINDS[1])
    made.image_token_ids = load_processor(training.processor).image_token_ids
    return made


def by_trl(training: VisionTraining, kind: str, of: Any = WithoutImageTokens) -> list[dict[str, float]]:
    args = SFTConfig(
        output_dir=str(training.root / "theirs"),
        report_to="none",
        use_cpu=True,
        bf16=False,
        max_length=None,
        disable_tqdm=True,
        remove_unused_columns=False,
        **OPTIONS,
    )
    trainer = SFTTrainer(
        model=AutoModelForImageTextToText.from_pretrained(training.root / "base", dtype=torch.float32),
        args=args,
        train_dataset=Dataset.from_list(examples(training, kind)),
        processing_class=training.family.processor(),
        data_collator=collator_for(training, kind, of),
    )
    trainer.train()
    return [line for line in trainer.state.log_history if "loss" in line]


def by_us(training: VisionTraining, kind: str) -> list[dict[str, float]]:
    """Train on the tokens and labels of TRL's collator; the pixels are made here."""
    store, collate, documents = ImageStore(training.root / "images"), collator_for(training, kind), []
    for example in examples(training, kind):
        images = [ImageRef(store.put(png(image)), image.width, image.height) for image in example["images"]]
        batch = collate([example])
        ids, labels = (np.array(batch[name][0]) for name in ("input_ids", "labels"))
        mask = (labels != -100).astype(np.uint8)
        documents.append({"input_ids": ids.tolist(), "loss_mask": mask.tolist(), "images": images})
    training.write_blocks("train", documents)
    train(training.plan("ours"))
    return [line for line in training.lines("ours") if "loss" in line]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FAMILIES)
def test_losses_and_gradient_norms_are_those_of_trl(name: str, kind: str, tmp_path: Path) -> None:
    training = VisionTraining.of(name, tmp_path)
    theirs, ours = by_trl(training, kind), by_us(training, kind)
    assert len(ours) == len(theirs) == OPTIONS["max_steps"]
    for column in ("loss", "grad_norm", "learning_rate"):
        expected = [line[column] for line in theirs]
        assert [line[column] for line in ours] == pytest.approx(expected, rel=1e-5), column
    assert ours[0]["loss"] != pytest.approx(ours[-1]["loss"], rel=1e-3), "something was learnt"


def test_trl_trains_on_the_tokens_of_images_in_language_modelling(tmp_path: Path) -> None:
    training = VisionTraining.of("qwen2_5_vl", tmp_path)
    batch = collator_for(training, KINDS[0], DataCollatorForVisionLanguageModeling)(examples(training, KINDS[0])[:2])
    is_image = torch.isin(batch["input_ids"], torch.tensor(load_processor(training.processor).image_token_ids))
    assert (batch["labels"][is_image] != -100).all()
    theirs, ours = by_trl(training, KINDS[0], DataCollatorForVisionLanguageModeling), by_us(training, KINDS[0])
    assert theirs[0]["loss"] != pytest.approx(ours[0]["loss"], rel=1e-3)
