"""Which images can be shown."""

import io
import tracemalloc
from pathlib import Path

import pytest
from PIL import Image

from sft_core.data.images.check import check_image
from sft_core.data.images.refusal import ImageRefusedError
from sft_core.store.image_store import ImageStore
from tests.sft_core.data.images.pictures import BAD, GOOD, bomb, png, turned

MAX_PIXELS = 100_000_000


@pytest.mark.parametrize("kind", GOOD)
def test_what_can_be_shown_has_the_size_that_the_batch_will_see(kind: str, tmp_path: Path) -> None:
    content, size = GOOD[kind]
    assert check_image(io.BytesIO(content), MAX_PIXELS) == size
    store = ImageStore(tmp_path)
    shown = store.open(store.put(content))
    assert (shown.size, shown.mode) == (size, "RGB")


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_is_refused_by_name(kind: str) -> None:
    content, reason = BAD[kind]
    with pytest.raises(ImageRefusedError) as refused:
        check_image(io.BytesIO(content), MAX_PIXELS)
    assert str(refused.value) == reason


def test_pixels_are_counted_by_the_header() -> None:
    content = png(20, 10)
    assert check_image(io.BytesIO(content), 200) == (20, 10)
    with pytest.raises(ImageRefusedError, match=r"more than 199 pixels"):
        check_image(io.BytesIO(content), 199)


def test_a_bomb_costs_nothing() -> None:
    content = bomb()
    tracemalloc.start()
    with pytest.raises(ImageRefusedError):
        check_image(io.BytesIO(content), MAX_PIXELS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000, "of 7.5 GB"


def test_the_recipe_alone_says_how_many_pixels_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    content = png()
    assert check_image(io.BytesIO(content), MAX_PIXELS) == (40, 30)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    store = ImageStore(tmp_path)
    assert store.open(store.put(content)).size == (40, 30)


def test_an_image_that_lies_on_its_side_is_kept_as_it_is_and_shown_upright(tmp_path: Path) -> None:
    store, content = ImageStore(tmp_path), turned()
    digest = store.put(content)
    assert store.path(digest).read_bytes() == content
    assert store.open(digest).size == (30, 40)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff", "gif of one", "avif"])
def test_wherever_an_image_is_cut_off_it_is_refused_or_whole(kind: str, tmp_path: Path) -> None:
    content, size = GOOD[kind]
    refused = 0
    for length in range(0, len(content), max(1, len(content) // 40)):
        try:
            assert check_image(io.BytesIO(content[:length]), MAX_PIXELS) == size
            store = ImageStore(tmp_path)
            store.open(store.put(content[:length]))
        except ImageRefusedError:
            refused += 1
    assert refused >= 35
