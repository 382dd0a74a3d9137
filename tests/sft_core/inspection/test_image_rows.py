"""Rows with images: on the data report, in the terminal, and where they came from."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.queries.open_data import open_folder
from sft_cli.rows import show_rows
from sft_core.inspection import (
    ImagePiece,
    RowView,
    TokenPiece,
    label,
    named_rows,
    trace_blocks,
    trace_row,
    view_rows,
    write_report,
)
from sft_core.pretrained.plain_tokenizer import PlainTokenizer, plain_tokenizer
from sft_core.pretrained.processor import ProcessorRef, load_processor
from sft_core.store.image_store import ImageStore
from tests.sft_core.inspection.data_set import Prepared, run_prepare
from tests.sft_core.inspection.test_report import read
from tests.vision_families import FAMILIES, picture
from tests.vision_models import processor_ref

pytestmark = pytest.mark.slow

SIZES = [[(30, 50)], [(60, 40), (28, 28)], [], [(300, 200)]]
"""(height, width) of each row's pictures."""
NUM_ROWS = 12


@pytest.fixture(scope="module", params=["idefics3", "qwen2_5_vl"])
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Prepared, ProcessorRef]:
    folder = tmp_path_factory.mktemp(request.param)
    FAMILIES[request.param].save_processor(folder / "base")
    rows = []
    for number in range(NUM_ROWS):
        names = []
        for height, width in SIZES[number % len(SIZES)]:
            names.append(f"pictures/{number}-{height}.png")
            (folder / "pictures").mkdir(exist_ok=True)
            picture(height, width, seed=100 * number + height).save(folder / names[-1])
        asked = {"role": "user", "content": [*([{"type": "image"}] * len(names)), {"type": "text", "text": "What?"}]}
        answered = {"role": "assistant", "content": [{"type": "text", "text": f"It is {number}."}]}
        rows.append({"messages": [asked, answered], "images": names})
    (folder / "seen.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = {
        "name": "seen",
        "model": {"init": "config", "config": {"model_type": request.param}, "tokenizer": str(folder / "base")},
        "sources": [{"path": str(folder / "seen.jsonl")}],
        "formats": {"eval_fraction": 0.2},
        "tokens": {"max_length": 512},
        "packing": {"packing": True},
    }
    return run_prepare(folder, recipe), processor_ref(folder / "base")


def tokenizer_of(processor: ProcessorRef) -> PlainTokenizer:
    return plain_tokenizer(processor.tokenizer)


def view(shown: tuple[Prepared, ProcessorRef], row: int, with_processor: bool = True) -> RowView:
    prepared, processor = shown
    [position] = named_rows(prepared.lineage, prepared.table, "seen", row)
    tokenizer, told = tokenizer_of(processor), processor if with_processor else None
    return view_rows(prepared.lineage, prepared.table, tokenizer, [position], processor=told)[0]


def test_the_tokens_of_an_image_are_one_piece(shown: tuple[Prepared, ProcessorRef]) -> None:
    _, processor = shown
    found = view(shown, 1)
    pieces = [piece for piece in found.pieces if isinstance(piece, ImagePiece)]
    written = load_processor(processor).expansions(SIZES[1])
    tokens = [len(tokenizer_of(processor).encode(text, add_special_tokens=False)) for text in written]
    assert [piece.num_tokens for piece in pieces] == tokens
    assert [(piece.image.height, piece.image.width) for piece in pieces] == SIZES[1]
    assert [piece.kind for piece in pieces] == ["context"] * 2
    assert sum(piece.num_tokens for piece in found.pieces) == found.num_tokens
    assert label(pieces[0]) == f"[image 40×60 {pieces[0].image.digest[:8]}…]×{tokens[0]}"
    spelled = "".join(piece.text for piece in found.pieces if isinstance(piece, TokenPiece) and piece.kind == "trained")
    assert "It is 1." in spelled


def test_without_the_processor_images_are_named_and_their_tokens_stay(shown: tuple[Prepared, ProcessorRef]) -> None:
    found = view(shown, 1, with_processor=False)
    assert len(found.images) == 2
    assert all(isinstance(piece, TokenPiece) for piece in found.pieces)
    assert len(found.pieces) == found.num_tokens


def test_the_terminal_names_images(shown: tuple[Prepared, ProcessorRef], capsys: pytest.CaptureFixture[str]) -> None:
    show_rows(Console(width=400), [view(shown, 0)])
    printed = capsys.readouterr().out
    assert f"[image 50×30 {view(shown, 0).images[0].digest[:8]}…]×" in printed
    assert "<image><image>" not in printed
    assert "<|image_pad|>" not in printed


def report(shown: tuple[Prepared, ProcessorRef], path: Path, images: ImageStore) -> str:
    prepared, processor = shown
    tokenizer = tokenizer_of(processor)
    write_report(path, "seen", prepared.lineage, tokenizer, processor=processor, images=images)
    return path.read_text(encoding="utf-8")


def test_the_report_shows_images_in_small(shown: tuple[Prepared, ProcessorRef], tmp_path: Path) -> None:
    import base64
    import io

    from PIL import Image

    store = ImageStore.below(shown[0].store.root)
    html = report(shown, tmp_path / "report.html", store)
    page = read(html)
    urls = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert urls
    assert len(html) < 1_000_000
    for url in urls:
        small = Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))))
        assert max(small.size) <= 128
    assert any("200×300 · " in text for text in page.text)
    assert any("tokens, " in text and "of images" in text for text in page.text)


def test_images_that_are_gone_leave_an_empty_frame(shown: tuple[Prepared, ProcessorRef], tmp_path: Path) -> None:
    html = report(shown, tmp_path / "report.html", ImageStore(tmp_path / "nothing"))
    assert "<img" not in html
    assert 'class="noimage"' in html
    read(html)


def test_a_trace_names_the_images_and_their_files(shown: tuple[Prepared, ProcessorRef]) -> None:
    prepared, _ = shown
    [row] = trace_row(prepared.lineage, "seen", 1)
    digests = [image.digest for image in view(shown, 1).images]
    assert [image.digest for image in row.images] == digests
    assert [image.name for image in row.images] == ["pictures/1-60.png", "pictures/1-28.png"]
    assert row.images[0].in_words() == f"[image 40×60 {digests[0][:8]}…]  pictures/1-60.png"
    segments: list[Any] = [
        segment
        for split, facts in prepared.lineage.splits.items()
        for segment in trace_blocks(prepared.lineage, split, range(facts["blocks"]))
    ]
    [segment] = [segment for segment in segments if segment.row == 1]
    assert [image.digest for image in segment.images] == digests
    [bare] = [segment for segment in segments if segment.row == 2]
    assert bare.images == ()


def test_a_folder_without_a_training_knows_no_processor(shown: tuple[Prepared, ProcessorRef]) -> None:
    assert open_folder(shown[0].lineage.folder).processor is None
