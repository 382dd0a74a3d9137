"""The vision quickstart's data: what the docs say of it, and a recipe and a processor that fit together."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from transformers import AutoProcessor

from sft_core.pretrained.processor import load_processor, locate_processor
from sft_core.pretrained.tokenizer import locate_tokenizer
from sft_core.recipe.recipe_file import load_recipe
from sft_core.store.file_digests import FileDigests

PROJECT = Path(__file__).parents[2]
RECIPE = PROJECT / "recipes" / "vision_quickstart.yaml"


def make(folder: Path) -> Path:
    subprocess.run([sys.executable, PROJECT / "recipes" / "make_vision_quickstart.py", folder], check=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("vision"))


@pytest.fixture(scope="module")
def rows(made: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (made / "chats.jsonl").read_text().splitlines()]


def test_every_row_shows_a_picture_of_its_own(made: Path, rows: list[dict[str, Any]]) -> None:
    pictures = {Image.open(made / path).tobytes() for row in rows for path in row["images"]}
    assert len(pictures) == len(rows) == 3600
    assert all(row["messages"][0]["content"].count("<image>") == len(row["images"]) == 1 for row in rows)


def test_no_answer_can_be_guessed(rows: list[dict[str, Any]]) -> None:
    """The most frequent answer to a question is chance's best."""
    by_question: dict[str, Counter[str]] = {}
    for row in rows:
        question, answer = (message["content"] for message in row["messages"])
        by_question.setdefault(question, Counter())[answer] += 1
    guessed = sum(answers.most_common(1)[0][1] for answers in by_question.values())
    assert len(by_question) == 5
    assert guessed / len(rows) < 0.12


def test_the_same_pictures_come_out_of_every_run(tmp_path: Path, made: Path) -> None:
    again = make(tmp_path / "again")
    assert (again / "chats.jsonl").read_bytes() == (made / "chats.jsonl").read_bytes()
    for path in sorted((made / "images").iterdir())[::500]:
        assert Image.open(again / "images" / path.name).tobytes() == Image.open(path).tobytes()


def test_the_processor_shows_what_the_recipe_expects(made: Path, tmp_path: Path) -> None:
    recipe = load_recipe(RECIPE)
    model = recipe.model.model_copy(update={"tokenizer": str(made / "processor")})
    digests = FileDigests(tmp_path / "digests.sqlite")
    ref = locate_processor(locate_tokenizer(model, digests), digests)
    assert ref is not None
    vision = load_processor(ref)
    picture = Image.open(made / "images" / "0000.png")
    (expansion,) = vision.expansions([(picture.height, picture.width)])
    vision_config, text_config = recipe.model.config["vision_config"], recipe.model.config["text_config"]
    side = vision_config["image_size"] // vision_config["patch_size"] // recipe.model.config["scale_factor"]
    assert expansion.count("<image>") == side**2 == 16
    assert text_config["max_position_embeddings"] >= 100
    assert vision.pixels([[picture]]).num_image_tokens == [side**2]
    assert vision.image_token_ids == (recipe.model.config["image_token_id"],)
    assert AutoProcessor.from_pretrained(made / "processor").chat_template


def test_the_template_marks_the_answer_and_its_end(made: Path, rows: list[dict[str, Any]]) -> None:
    processor = AutoProcessor.from_pretrained(made / "processor")
    question, answer = rows[0]["messages"]
    parts = [{"type": "image"}, {"type": "text", "text": question["content"].removeprefix("<image>")}]
    messages = [{"role": "user", "content": parts}, answer]
    text = processor.apply_chat_template(messages)
    assert text == (
        f"<|im_start|>user\n{question['content']}<|im_end|>\n<|im_start|>assistant\n{answer['content']}<|im_end|>\n"
    )
    asked = processor.apply_chat_template(messages[:1], add_generation_prompt=True)
    assert text.startswith(asked)
