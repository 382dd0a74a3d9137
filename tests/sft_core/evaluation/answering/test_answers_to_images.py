"""Prompts with images are answered with their pixels, and samples name them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sft_core.errors import RecipeError
from sft_core.evaluation.answering import AnsweringConfig, Prompts, Scoring
from sft_core.evaluation.answering.answer import Answering
from sft_core.evaluation.answering.prompts import Asked, cut_left
from sft_core.pretrained.image_places import ImageReader
from tests.vision_families import FAMILIES
from tests.vision_models import SIZES, Seeing, seeing

GREEDY = {"max_new_tokens": 6, "do_sample": False}
WORDS = ["a", "what is it?", "why?", "how many are there in this one?", "hm", "compare them"]


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Seeing, Prompts]:
    model = seeing(request.param, tmp_path_factory.mktemp(request.param))
    return model, prompts_of(model)


def prompts_of(model: Seeing, sizes: list[Any] = SIZES, words: list[str] = WORDS) -> Prompts:
    images = [model.show(of_prompt, 10 * number) for number, of_prompt in enumerate(sizes)]
    count = len(images)
    return Prompts(
        source=["s"] * count,
        row=list(range(count)),
        prompt_ids=[model.prompt(shown, text) for shown, text in zip(images, words, strict=True)],
        reference=["x"] * count,
        metadata=[{}] * count,
        images=images,
    )


def answers(model: Seeing, prompts: Prompts, batch_size: int, **gen_kwargs: Any) -> list[dict[str, Any]]:
    config = AnsweringConfig(batch_size=batch_size, gen_kwargs={**GREEDY, **gen_kwargs})
    return Answering(config, Scoring(), prompts, model.tokenizer, model.pixels).answer(model.model, {}).rows


@pytest.mark.parametrize("gen_kwargs", [{}, {"num_beams": 2}])
def test_answers_do_not_depend_on_the_batch_size(asked: tuple[Seeing, Prompts], gen_kwargs: dict[str, Any]) -> None:
    alone = answers(*asked, 1, **gen_kwargs)
    assert answers(*asked, 4, **gen_kwargs) == alone
    assert len({row["output"] for row in alone}) > 1


def test_an_answer_is_what_transformers_gives_the_processors_own_inputs(asked: tuple[Seeing, Prompts]) -> None:
    model, prompts = asked
    for row, ids, images in zip(answers(model, prompts, 3), prompts.prompt_ids, prompts.images, strict=True):
        said = model.family.image * len(images) + WORDS[row["row"]]
        text = f"<|im_start|>user\n{said}<|im_end|>\n<|im_start|>assistant\n"
        shown = [[model.store.open(image.digest) for image in images]] if images else None
        inputs = model.family.processor()(text=[text], images=shown, return_tensors="pt", add_special_tokens=False)
        assert inputs["input_ids"][0].tolist() == ids
        generated = model.model.generate(**inputs, **GREEDY)[0, len(ids) :]
        assert model.tokenizer.decode(generated, skip_special_tokens=True).rstrip() == row["output"].rstrip()


def test_other_pictures_change_the_answer(asked: tuple[Seeing, Prompts]) -> None:
    model, _ = asked
    sizes, words = [[(56, 56)]] * 6, ["what?"] * 6
    assert len({row["output"] for row in answers(model, prompts_of(model, sizes, words), 3)}) > 1


def test_samples_name_images_and_the_tokens_that_they_take(asked: tuple[Seeing, Prompts]) -> None:
    model, prompts = asked
    rows = answers(model, prompts, 4)
    for row, images, ids in zip(rows, prompts.images, prompts.prompt_ids, strict=True):
        assert [(one["digest"], one["width"], one["height"]) for one in row["images"]] == [
            (image.digest, image.width, image.height) for image in images
        ]
        vision = model.pixels.vision()
        written = vision.expansions([(image.height, image.width) for image in images]) if images else ()
        assert [one["tokens"] for one in row["images"]] == [
            len(model.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in written
        ]
        name = model.tokenizer.convert_ids_to_tokens(vision.image_token_ids[0])
        assert name * 2 not in row["prompt"]
        assert (name in row["prompt"]) == bool(images)
        assert len(ids) >= sum(one["tokens"] for one in row["images"])


def test_a_cut_never_leaves_a_part_of_an_image(asked: tuple[Seeing, Prompts]) -> None:
    model, prompts = asked
    vision = model.pixels.vision()
    reader = ImageReader(vision, model.tokenizer)
    ids, images = prompts.prompt_ids[5], prompts.images[5]
    places = reader.places(ids, images)
    counts = []
    for num_tokens in range(len(ids) - 4):
        cut = cut_left(reader, Asked(ids, images), num_tokens)
        assert cut.ids == ids[len(ids) - len(cut.ids) :]
        assert len(cut.ids) <= len(ids) - num_tokens
        start = len(ids) - len(cut.ids)
        assert cut.images == images[sum(place.start < start for place in places) :]
        assert not any(place.start < start < place.stop for place in places)
        model.pixels.inputs([cut.images], torch.tensor([cut.ids]))  # raises where tokens and images differ
        counts.append(len(cut.images))
    alone_is_larger = vision.expansions([SIZES[5][-1]]) != vision.expansions(SIZES[5])[-1:]
    assert alone_is_larger == (model.family.name == "llava_onevision")
    assert set(counts) == ({0, 2, 3} if alone_is_larger else {0, 1, 2, 3})


def test_prompts_too_long_for_the_model_are_answered_with_the_images_that_are_left(tmp_path: Path) -> None:
    model = seeing("llava_onevision", tmp_path)
    prompts = prompts_of(model)
    longest = len(prompts.prompt_ids[5])
    model.model.config.get_text_config().max_position_embeddings = longest + GREEDY["max_new_tokens"] - 8
    row = answers(model, prompts, 4)[5]
    assert row["prompt_tokens_cut"] >= 8
    assert 0 < len(row["images"]) < 3


def test_prompts_with_images_need_a_processor(asked: tuple[Seeing, Prompts]) -> None:
    model, prompts = asked
    with pytest.raises(RecipeError, match="has no processor"):
        Answering(AnsweringConfig(), Scoring(), prompts, model.tokenizer)
