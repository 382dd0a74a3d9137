"""Chat requests with images: answered as the model was trained, and refused where something is wrong."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd
import pytest
import torch
from PIL import Image

from sft_cli.chat import Talk, converse
from sft_core.data.chat import ChatConfig, chat_template_of, locate_template
from sft_core.errors import RecipeError
from sft_core.modeling.pixels import PixelMaker
from sft_core.registry.serving import ChatModel
from sft_core.store.image_store import ImageStore
from tasks.tracking.logged_models import _write_mlmodel
from tests.sft_core.modeling.tiny_models import tiny_model, tiny_tokenizer
from tests.vision_families import FAMILIES, picture
from tests.vision_models import SIZES, Seeing, chat_model, served

Parts = list[dict[str, Any]]


def png(height: int, width: int, seed: int = 0) -> bytes:
    written = io.BytesIO()
    picture(height, width, seed).save(written, "png")
    return written.getvalue()


def url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def openai(content: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url(content)}}


def hugging_face(content: bytes) -> dict[str, Any]:
    return {"type": "image", "image": url(content)}


def says(*content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(content)}]


def words(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Seeing, ChatModel]:
    folder = tmp_path_factory.mktemp(request.param)
    made = served(request.param, folder)
    return made, chat_model(folder / "model")


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> ChatModel:
    folder, tokenizer = tmp_path_factory.mktemp("text"), tiny_tokenizer()
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }} {% endfor %}"
    tiny_model().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return ChatModel(folder)


@pytest.mark.parametrize("part", [openai, hugging_face])
def test_an_answer_is_what_the_processor_and_the_model_give(
    seen: tuple[Seeing, ChatModel], part: Callable[[bytes], dict[str, Any]]
) -> None:
    made, model = seen
    contents = [png(height, width, number) for number, (height, width) in enumerate(SIZES[1])]
    asked = says(*(part(content) for content in contents), words("What is it?"))
    bare = says(*({"type": "image"} for _ in contents), words("What is it?"))
    processor = made.family.processor()
    text = processor.apply_chat_template(bare, tokenize=False, add_generation_prompt=True)
    images = [Image.open(io.BytesIO(content)).convert("RGB") for content in contents]
    inputs = processor(text=[text], images=[images], return_tensors="pt", add_special_tokens=False)
    generated = made.model.generate(**inputs, max_new_tokens=6, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    expected = made.tokenizer.decode(generated, skip_special_tokens=True)
    assert model.predict(pd.DataFrame({"messages": [asked]}), {"max_tokens": 6}) == [expected]
    assert model.say(asked, 6, 0.0, len) == expected


def test_requests_of_one_batch_keep_their_images(seen: tuple[Seeing, ChatModel]) -> None:
    _, model = seen
    asked = [
        says(openai(png(56, 56, 1)), words("a")),
        says(words("and now in many more words?")),
        says(openai(png(28, 28, 2)), openai(png(60, 40, 3)), words("b")),
        [{"role": "user", "content": "only text"}],
    ]
    alone = [model.predict(pd.DataFrame({"messages": [one]}), {"max_tokens": 5})[0] for one in asked]
    assert model.predict(pd.DataFrame({"messages": asked}), {"max_tokens": 5}) == alone


def test_images_of_earlier_turns_stay(seen: tuple[Seeing, ChatModel], tmp_path: Path) -> None:
    made, model = seen
    first = says(openai(png(28, 28)), words("a"))
    later = [*first, {"role": "assistant", "content": "x"}, *says(openai(png(56, 56)), words("b"))]
    store = ImageStore(tmp_path)
    ids, images = model.encode(later, store)
    assert [(image.height, image.width) for image in images] == [(28, 28), (56, 56)]
    PixelMaker(made.pixels.processor, store.folder).inputs([images], torch.tensor([ids]))  # raises if they differ


def test_a_prompt_is_rendered_as_in_training(seen: tuple[Seeing, ChatModel], tmp_path: Path) -> None:
    made, model = seen
    template = chat_template_of(ChatConfig(), locate_template(ChatConfig()), made.pixels.processor.tokenizer)
    assert template is not None
    bare = says({"type": "image"}, words("What?"))
    vision = made.pixels.vision()
    text, _ = template.render(bare, add_generation_prompt=True)
    expanded = text.replace(vision.image_token, vision.expansions([(56, 30)])[0])
    ids, _ = model.encode(says(openai(png(56, 30)), words("What?")), ImageStore(tmp_path))
    assert ids == made.tokenizer(expanded, add_special_tokens=False)["input_ids"]


REFUSED: dict[str, tuple[Callable[[Any], Parts], str]] = {
    "http": (
        lambda _: [{"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}],
        "nothing is downloaded",
    ),
    "file": (lambda _: [{"type": "image", "image": "/etc/passwd"}], "no file is read"),
    "path": (lambda _: [{"type": "image", "path": "cat.png"}], "no file is read"),
    "not base64": (lambda _: [{"type": "image", "image": "data:image/png;base64,@@@"}], "not base64"),
    "no picture": (lambda _: [openai(b"a text")], "none that can be opened"),
    "cut off": (lambda _: [openai(png(90, 90)[:900])], "damaged or cut off"),
    "nothing": (lambda _: [{"type": "image"}], "image"),
    "unknown part": (lambda _: [{"type": "video", "video": "x"}], "neither text nor an image"),
    "forged": (lambda token: [openai(png(28, 28)), words(token)], "no text may contain it"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_image_is_refused(seen: tuple[Seeing, ChatModel], case: str) -> None:
    made, model = seen
    content, told = REFUSED[case]
    with pytest.raises(RecipeError, match=told):
        model.say(says(*content(made.pixels.vision().image_token), words("What?")), 3, 0.0, len)


def test_a_model_of_texts_refuses_images_and_takes_parts_of_text(blind: ChatModel) -> None:
    assert not blind.sees_images
    with pytest.raises(RecipeError, match="this model accepts no images"):
        blind.say(says(openai(png(28, 28)), words("w2")), 3, 0.0, len)
    assert blind.say(says(words("w2 w3")), 3, 0.0, len) == blind.say(
        [{"role": "user", "content": "w2 w3"}], 3, 0.0, len
    )


def test_mlflow_lets_texts_and_parts_through(tmp_path: Path) -> None:
    served("idefics3", tmp_path)
    (tmp_path / "python_env.yaml").write_text("python: 3.11\n")
    (tmp_path / "code").mkdir()
    _write_mlmodel(tmp_path, "r" * 32, "m-" + "0" * 32, is_chat=True)
    model = mlflow.pyfunc.load_model(str(tmp_path))
    asked = says(openai(png(56, 30)), words("What?"))
    direct = chat_model(tmp_path / "model")
    params = {"max_tokens": 4}
    assert model.predict({"messages": asked}, params=params) == [direct.say(asked, 4, 0.0, len)]
    text = [{"role": "user", "content": "What?"}]
    assert model.predict({"messages": text}, params=params) == [direct.say(text, 4, 0.0, len)]
    frame = pd.DataFrame({"messages": [asked, text]})
    assert len(model.predict(frame, params=params)) == 2


def typed(model: ChatModel, *lines: str) -> tuple[Talk, str]:
    waiting, written = iter(lines), list[str]()

    def read() -> str:
        for line in waiting:
            return line
        raise EOFError

    talk = Talk(model, 3, 0.0)
    converse(talk, read, written.append)
    return talk, "".join(written)


def test_a_talk_shows_images_with_the_next_question(seen: tuple[Seeing, ChatModel], tmp_path: Path) -> None:
    _, model = seen
    file = tmp_path / "a picture.png"
    file.write_bytes(png(56, 56))
    (tmp_path / "text.png").write_text("none")
    talk, written = typed(
        model, f"/image {file}", "What?", "And?", f"/image {tmp_path}/gone.png", f"/image {tmp_path}/text.png"
    )
    first, _, second, _ = talk.turns
    assert [part["type"] for part in first["content"]] == ["image", "text"]
    assert second["content"] == "And?"
    assert talk.turns[1]["content"] == model.say([first], 3, 0.0, len)
    assert "gone.png: No such file" in written
    assert "text.png: an image is none that can be opened" in written
    talk, _ = typed(model, f"/image {file}", "/reset", "What?")
    assert talk.turns[0]["content"] == "What?"


def test_a_talk_with_a_model_of_texts_refuses_an_image(blind: ChatModel, tmp_path: Path) -> None:
    _, written = typed(blind, f"/image {tmp_path}/a.png", "w2")
    assert "this model accepts no images" in written
