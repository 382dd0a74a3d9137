"""Images of a row: every way to give them, and where the messages say that each is shown."""

import json
from typing import Any

import orjson
import pytest
from trl.data_utils import prepare_multimodal_messages

from tests.sft_core.data.formats.rows import ANSWER, read

IMAGE = {"type": "image"}


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def images_of(row: Any) -> Any:
    images = read(row).images
    return None if images is None else orjson.loads(images)


def contents_of(row: Any) -> list[Any]:
    return [message["content"] for message in orjson.loads(read(row).example)["messages"]]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("photos/1.jpg", "photos/1.jpg"),
        ("C:/1.jpg", "C:/1.jpg"),
        ({"path": "1.jpg"}, "1.jpg"),
        ({"path": "1.jpg", "bytes": None}, "1.jpg"),
        ({"path": None, "bytes": "aGk="}, {"bytes": "aGk="}),
        ({"path": "1.jpg", "bytes": "aGk="}, {"bytes": "aGk=", "path": "1.jpg"}),
        ("data:image/png;base64,aGk=", {"bytes": "aGk="}),
        ("DATA:image/png;charset=x;BASE64,aGk=", {"bytes": "aGk="}),
    ],
)
def test_an_image_is_a_path_or_bytes_wherever_it_stands(given: Any, kept: Any) -> None:
    assert images_of({"text": "a", "image": given}) == [kept]
    assert images_of({"text": "a", "images": [given, given]}) == [kept, kept]
    assert images_of({"messages": [user([{"type": "image", "image": given}, text("?")]), ANSWER]}) == [kept]


def test_a_list_in_a_column_of_text_is_json() -> None:
    assert images_of({"text": "a", "images": '["1.jpg", "2.jpg"]'}) == ["1.jpg", "2.jpg"]
    assert images_of({"text": "a", "images": "[1].jpg"}) == ["[1].jpg"]


@pytest.mark.parametrize("none", [{}, {"image": None}, {"images": None}, {"images": []}, {"image": ""}])
def test_no_image_is_none(none: dict[str, Any]) -> None:
    row = {"messages": [user("2+2?"), ANSWER]}
    assert images_of({**row, **none}) is None
    assert contents_of({**row, **none}) == ["2+2?", "4"]
    assert read({**row, **none}) == read(row)
    assert images_of({"text": "a", "image": "1.jpg", **{key: none[key] for key in none if key == "images"}}) == [
        "1.jpg"
    ]


@pytest.mark.parametrize(
    "payload",
    [
        {"image": "1.jpg"},
        {"path": "1.jpg"},
        {"url": "1.jpg"},
        {"image": {"path": "1.jpg", "bytes": None}},
        {"type": "image_url", "image_url": {"url": "1.jpg", "detail": "high"}},
        {"type": "image_url", "image_url": "1.jpg"},
        {"bytes": None, "path": "1.jpg", "text": None},
    ],
)
def test_a_part_may_bring_its_image_along(payload: dict[str, Any]) -> None:
    row = {"messages": [user([{"type": "image", **payload}, text("Who?")]), ANSWER]}
    assert images_of(row) == ["1.jpg"]
    assert contents_of(row) == [[IMAGE, text("Who?")], "4"]
    assert read(row) == read({"messages": [user([IMAGE, text("Who?")]), ANSWER], "images": ["1.jpg"]})


@pytest.mark.parametrize(
    "payload",
    [{"base64": "aGk="}, {"base64": "data:image/png;base64,aGk="}, {"bytes": "aGk="}, {"image": {"bytes": "aGk="}}],
)
def test_a_part_may_bring_bytes_along(payload: dict[str, Any]) -> None:
    assert images_of({"messages": [user([{"type": "image", **payload}]), ANSWER]}) == [{"bytes": "aGk="}]


def test_parts_with_and_without_images_take_theirs_in_order() -> None:
    parts = [IMAGE, text("and"), {"type": "image", "image": "own.jpg"}, {"type": "image_url"}]
    row = {"messages": [user(parts), ANSWER, user([IMAGE]), ANSWER], "images": ["1.jpg", "2.jpg", "3.jpg"]}
    assert images_of(row) == ["1.jpg", "own.jpg", "2.jpg", "3.jpg"]
    assert contents_of(row) == [[IMAGE, text("and"), IMAGE, IMAGE], "4", [IMAGE], "4"]


def test_marks_are_split_where_they_stand() -> None:
    row = {
        "messages": [user("<image>\nWho?"), ANSWER, user("And<image>, <image>"), ANSWER, user("So?"), ANSWER],
        "images": ["1.jpg", "2.jpg", "3.jpg"],
    }
    assert contents_of(row) == [
        [IMAGE, text("\nWho?")],
        "4",
        [text("And"), IMAGE, text(", "), IMAGE],
        "4",
        "So?",
        "4",
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [user("<image>Who?"), ANSWER]},
        {"conversations": [{"from": "human", "value": "<image>Who?"}, {"from": "gpt", "value": "4"}]},
        {"prompt": [user("<image>Who?")], "completion": [ANSWER]},
        {"prompt": "<image>Who?", "completion": [ANSWER]},
        {"instruction": "<image>Who?", "output": "4"},
        {"question": [user("<image>Who?")], "answer": "4"},
    ],
    ids=lambda row: next(iter(row)),
)
@pytest.mark.parametrize("has_mark", [True, False])
def test_all_dialects_of_conversations_take_images(row: dict[str, Any], has_mark: bool) -> None:
    written = json.dumps({**row, "image": "1.jpg"})
    found = read(written if has_mark else written.replace("<image>", ""))
    assert orjson.loads(found.example)["messages"][0] == user([IMAGE, text("Who?")])
    assert found.images == b'["1.jpg"]'


def test_without_images_marks_are_text() -> None:
    assert contents_of({"messages": [user("What is <image> in SVG?"), ANSWER]}) == ["What is <image> in SVG?", "4"]


def test_beside_parts_marks_are_text() -> None:
    row = {"messages": [user([IMAGE, text("<image>?")]), ANSWER, user("<image>"), ANSWER], "image": "1.jpg"}
    assert contents_of(row) == [[IMAGE, text("<image>?")], "4", "<image>", "4"]


@pytest.mark.parametrize(
    "row",
    [
        {"text": "<image> a"},
        {"prompt": "<image><image>", "completion": "b"},
        {"input_ids": [5, 6]},
    ],
)
def test_texts_and_token_ids_stay_as_they_are(row: dict[str, Any]) -> None:
    alone, shown = read(row), read({**row, "image": "1.jpg"})
    assert (alone.example, alone.images) == (shown.example, None)
    assert shown.images == b'["1.jpg"]'


CONVERSATIONS = [
    [user("Who?"), ANSWER],
    [{"role": "system", "content": "Be brief."}, user("Who?"), ANSWER, user("Where?"), ANSWER],
    [user([IMAGE, text("Who?"), IMAGE]), ANSWER],
    [user([text("Who?")]), ANSWER, user([text("And"), IMAGE]), ANSWER, user([IMAGE]), ANSWER],
    [{"role": "assistant", "content": "Hi"}, user(""), ANSWER],
]


@pytest.mark.parametrize("messages", CONVERSATIONS)
@pytest.mark.parametrize("split_at", [None, 1])
def test_images_stand_where_trl_puts_them(messages: list[Any], split_at: int | None) -> None:
    images = ["1.jpg", "2.jpg"]
    if split_at is None:
        found = orjson.loads(read({"messages": messages, "images": images}).example)["messages"]
    else:
        row = {"prompt": messages[:split_at], "completion": messages[split_at:], "images": images}
        found = orjson.loads(read(row).example)["messages"]
    expected = prepare_multimodal_messages(messages, images)
    shown = [part["image"] for message in expected for part in message["content"] if part["type"] == "image"]
    assert images == shown
    assert [_normal(message) for message in found] == [_normal(message) for message in expected]


def _normal(message: dict[str, Any]) -> tuple[str, list[Any]]:
    """A message in parts that say nothing twice: TRL's have the images themselves, and empty texts."""
    content = message["content"]
    parts = content if isinstance(content, list) else [text(content)]
    bare = [IMAGE if part["type"] == "image" else part for part in parts]
    return message["role"], [part for part in bare if part != text("")]


def test_other_images_are_another_example_and_another_prompt() -> None:
    row = {"messages": [user("Who?"), ANSWER]}
    ids = [
        read({**row, **images}) for images in ({}, {"image": "1.jpg"}, {"image": "2.jpg"}, {"images": ["1.jpg"] * 2})
    ]
    assert len({found.example_id for found in ids}) == len({found.prompt_id for found in ids}) == 4
