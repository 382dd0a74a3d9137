"""Images of a row: those of its column and those inside its messages become one list, and the messages mark where each
is shown.

    {"images": ["1.jpg", "2.jpg"], "messages": [user "<image>Who?", assistant "Ann.", user "And here?<image>", …]}
    {"image": "1.jpg", "messages": [user [{"type": "image"}, {"type": "text", "text": "Who?"}], …]}
    {"messages": [user [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO…"}}, …], …]}

In all of them the resulting messages have parts that are exactly `{"type": "image"}`, one per image, in the order of
the list. Their positions are determined in one of three ways, the first that applies:

    parts     some message has image parts; a part that contains its image takes none from the column
    marks     `<image>` in texts, as LLaVA and LLaMA-Factory write it; only in rows that have an image column
    neither   all images of the column come before the text of the first user's message, as in TRL

An image is stored as `"path"`, or as `{"bytes": <base64>}` together with its `path`, if it has one.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from sft_core.data.formats.dialects.dialect import Fields, kind_of
from sft_core.data.formats.dialects.message_list import IMAGE_PARTS
from sft_core.data.formats.json_text import decode
from sft_core.data.formats.rejection import RowRejectedError
from sft_core.store.records import Conversation, Example, Message

MARK = "<image>"
PART = {"type": "image"}
COLUMNS = ("images", "image")
PAYLOADS = ("image", "image_url", "url", "path", "base64", "bytes")
"""Keys of a part that contain an image."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_DATA_URL = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)

Image = str | dict[str, str]
"""Path of an image, or `{"bytes": <base64>}` with an optional `path`."""


def place_images(example: Example, fields: Fields) -> tuple[Example, list[Image]]:
    """Find the images of a row, and mark in its messages where each is shown.

    Args:
        example: The example of the row. Marks in plain texts and token ids stay as they are.
        fields: All columns of the row, also those that are null, because marks count only if there is an image column.

    Raises:
        RowRejectedError: if an image is malformed, or there are more or fewer images than places for them.
    """
    given = list(_of_column(fields))
    if not isinstance(example, Conversation):
        return example, given
    has_column = any(column in fields for column in COLUMNS)
    if any(_has_image_parts(message) for message in example.messages):
        messages, places = _with_bare_parts(example.messages)
    elif has_column and any(MARK in _text(message) for message in example.messages):
        messages, places = _with_marks_split(example.messages)
    elif given:
        messages, places = _with_images_first(example.messages, len(given))
    else:
        return example, []
    return replace(example, messages=messages), _filled(places, given)


def _of_column(fields: Fields) -> Iterator[Image]:
    """Yield the images of the column; null, empty text and an empty list mean that it has no images."""
    columns = {column: fields[column] for column in COLUMNS if fields.get(column) not in (None, "", [])}
    if len(columns) > 1:
        raise RowRejectedError("the row has both `image` and `images`")
    for value in columns.values():
        if isinstance(value, str):
            value = _list_in_text(value)
        for item in value if isinstance(value, list) else [value]:
            yield _image(item)


def _list_in_text(text: str) -> Any:
    """Parse a list written as JSON, which is how CSV holds several images; return any other text unchanged."""
    if text.startswith("[") and text.endswith("]"):
        try:
            return decode(text)
        except RowRejectedError:
            return text
    return text


def _image(value: Any) -> Image:
    if isinstance(value, str):
        return _image_of_text(value)
    if not isinstance(value, dict):
        raise RowRejectedError(f"an image is {kind_of(value)}, not a path, a data URL or an object with bytes")
    content, path = value.get("bytes"), value.get("path")
    if not isinstance(content, str | None) or not isinstance(path, str | None):
        raise RowRejectedError("an image's `bytes` and `path` are not both text or null")
    if content is None:
        if path is None:
            raise RowRejectedError("an image is an object without `bytes` and `path`")
        return _image_of_text(path)
    return {"bytes": content} if path is None else {"bytes": content, "path": path}


def _image_of_text(text: str) -> Image:
    if data_url := _DATA_URL.match(text):
        return {"bytes": text[data_url.end() :]}
    if text.startswith("data:"):
        raise RowRejectedError("an image is a data URL that is not base64")
    if _URL.match(text):
        raise RowRejectedError(
            "an image is at a web address, and nothing is downloaded: give the path of a file, or the image itself"
        )
    if not text.strip():
        raise RowRejectedError("an image's path is empty")
    return text


def _has_image_parts(message: Message) -> bool:
    content = message.get("content")
    return isinstance(content, list) and any(part["type"] in IMAGE_PARTS for part in content)


def _text(message: Message) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else ""


def _with_bare_parts(messages: Sequence[Message]) -> tuple[tuple[Message, ...], Sequence[Image | None]]:
    """Take images out of the parts that contain them. Return the messages, and for each image part its own image or
    None, which stands for the next image of the column."""
    places: list[Image | None] = []
    bare = []
    for message in messages:
        if _has_image_parts(message):
            images = [part for part in message["content"] if part["type"] in IMAGE_PARTS]
            places += map(_payload, images)
            content = [PART if part["type"] in IMAGE_PARTS else part for part in message["content"]]
            message = {**message, "content": content}
        bare.append(message)
    return tuple(bare), places


def _payload(part: Fields) -> Image | None:
    found = {key: part[key] for key in PAYLOADS if key in part}
    if not found:
        return None
    if found.keys() <= {"bytes", "path"}:
        return _image(found)
    if len(found) > 1:
        raise RowRejectedError("a part of `content` has more than one image")
    ((key, value),) = found.items()
    if isinstance(value, dict) and key == "image_url":
        value = value.get("url")
    if key == "base64" and isinstance(value, str) and not _DATA_URL.match(value):
        return {"bytes": value}
    return _image(value)


def _with_marks_split(messages: Sequence[Message]) -> tuple[tuple[Message, ...], Sequence[Image | None]]:
    split = tuple(
        {**message, "content": _at_marks(message["content"])} if MARK in _text(message) else message
        for message in messages
    )
    return split, [None] * sum(_text(message).count(MARK) for message in messages)


def _at_marks(text: str) -> list[Fields]:
    """Split a text into parts at its marks. The texts in between are unchanged; empty ones are dropped."""
    first, *others = text.split(MARK)
    parts = [[{"type": "text", "text": first}], *([PART, {"type": "text", "text": other}] for other in others)]
    return [part for some in parts for part in some if part is PART or part["text"]]


def _with_images_first(
    messages: Sequence[Message], num_images: int
) -> tuple[tuple[Message, ...], Sequence[Image | None]]:
    asks = (message["role"] == "user" and isinstance(message["content"], str) for message in messages)
    first = next((index for index, is_asked in enumerate(asks) if is_asked), None)
    if first is None:
        raise RowRejectedError("the row has images, but no mark for them and no text of a user to show them before")
    shown = {**messages[first], "content": _at_marks(MARK * num_images + messages[first]["content"])}
    return (*messages[:first], shown, *messages[first + 1 :]), [None] * num_images


def _filled(places: Sequence[Image | None], given: Sequence[Image]) -> list[Image]:
    num_places = sum(place is None for place in places)
    if num_places != len(given):
        raise RowRejectedError(
            f"the row has {_counted(len(given), 'image')} in its column, and {_counted(num_places, 'place')} for "
            "them in its messages"
        )
    waiting = iter(given)
    return [next(waiting) if place is None else place for place in places]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
