"""What people see of answers to images: the page of samples, the rows in Prefect, and the model's card."""

import base64
import io
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
from datasets import Dataset
from PIL import Image

from sft_core.inspection import samples_page
from sft_core.inspection.run_pages import samples_rows
from sft_core.inspection.thumbnails import MAX_A_PAGE, Thumbnails
from sft_core.registry.image_facts import ImageFacts, image_facts
from sft_core.store.image_store import ImageRef, ImageStore
from tests.sft_core.inspection.test_report import read
from tests.vision_families import FAMILIES
from tests.vision_models import keep, processor_ref


def named(image: ImageRef, tokens: int) -> dict[str, Any]:
    return {"digest": image.digest, "width": image.width, "height": image.height, "tokens": tokens}


def sample(row: int, images: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        **{"step": 3, "model": "trained", "source": "s", "row": row, "prompt": f"<image>×4 <b>what {row}?", **more},
        **{"images": images, "prompt_tokens_cut": 0, "output": f"a {row}", "reference": "b", "exact_match": row == 1},
    }


def test_the_page_shows_prompts_images_and_all_answers(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    first, second = keep(store, 300, 200, 1), keep(store, 30, 40, 2)
    lines = [
        sample(0, [named(first, 196), named(second, 4)]),
        sample(1, []),
        sample(0, [named(first, 196), named(second, 4)], model="baseline"),
    ]
    html = samples_page("mine", lines, store)
    assert html is not None
    page = read(html)
    urls = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    sizes = [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size for url in urls]
    assert sizes == [(85, 128), (40, 30)]
    assert any("200×300 · 196 tokens" in text for text in page.text)
    assert [text for text in page.text if text.startswith(("answer", "before"))] == [
        "answer, exact_match no",
        "before training, exact_match no",
        "answer, exact_match yes",
    ]
    assert "<image>×4 <b>what 0?" in page.text


def test_names_prompts_and_answers_are_escaped(tmp_path: Path) -> None:
    store, script = ImageStore(tmp_path), "<script>alert('x')</script>"
    texts = {"source": script, "prompt": script, "output": script, "reference": script, script: 1.0}
    html = samples_page(script, [{**sample(0, [named(keep(store, 30, 20, 1), 4)]), **texts}], store)
    assert html is not None
    assert "<script" not in html
    places = ["title", "heading", "source", "prompt", "answer", "expected answer", "name of a score"]
    assert "".join(read(html).text).count(script) == len(places)


def test_answers_to_texts_alone_need_no_page(tmp_path: Path) -> None:
    lines = [sample(0, []), {name: value for name, value in sample(1, []).items() if name != "images"}]
    assert samples_page("mine", lines[1:], ImageStore(tmp_path)) is None
    assert samples_page("mine", lines, ImageStore(tmp_path)) is None


def test_a_page_of_many_large_images_stays_small(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    lines = [sample(row, [named(keep(store, 200, 200, 10 * row + n), 9) for n in range(3)]) for row in range(40)]
    html = samples_page("mine", lines, store)
    assert html is not None
    assert len(html) < 1_000_000
    assert html.count("<img") == MAX_A_PAGE
    assert "… and 10 more prompts" in html


def test_the_same_image_is_made_small_once(tmp_path: Path) -> None:
    thumbnails = Thumbnails(ImageStore(tmp_path), room=1)
    image = keep(thumbnails.store, 20, 20, 1)
    assert thumbnails.url(image) == thumbnails.url(image) is not None
    assert thumbnails.url(keep(thumbnails.store, 20, 20, 2)) is None


def test_prefects_table_counts_images_and_has_no_such_column_without_any(tmp_path: Path) -> None:
    image = named(keep(ImageStore(tmp_path), 20, 20, 1), 4)
    first, second = samples_rows([sample(0, [image, image]), sample(1, [])])
    assert (first["images"], second["images"]) == ("2", "0")
    assert first["exact_match"] == "no"
    [bare] = samples_rows([{name: value for name, value in sample(0, []).items() if name != "images"}])
    assert "images" not in bare


def test_what_a_model_was_shown_is_read_from_its_blocks(tmp_path: Path) -> None:
    processor = processor_ref(FAMILIES["qwen2_5_vl"].save_processor(tmp_path / "base"))
    small, large = ImageRef("a", 28, 28), ImageRef("b", 56, 56)
    blocks = [[[small, large], []], None, [[small]]]
    column = [
        None if block is None else orjson.dumps([[vars_of(image) for image in row] for row in block]).decode()
        for block in blocks
    ]
    table = pa.table({"input_ids": [[1]] * 3, "images": pa.array(column, pa.large_string())})
    Dataset(table).save_to_disk(str(tmp_path / "train"))
    assert image_facts(tmp_path / "train", processor) == ImageFacts(2, 2, 1, 4)
    Dataset(table.drop_columns(["images"])).save_to_disk(str(tmp_path / "texts"))
    assert image_facts(tmp_path / "texts", processor).num_images == 0


def vars_of(image: ImageRef) -> dict[str, Any]:
    return {"digest": image.digest, "width": image.width, "height": image.height}
