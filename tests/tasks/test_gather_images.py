"""The images of a recipe's rows, gathered by the tasks: what is done again after a change, and what becomes of rows."""

import base64
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sft_core.data.accounts import ShardFiles, ledger_of, rejections_of
from sft_core.data.images import NamedImages
from sft_core.data.sources import group
from sft_core.errors import DataError, RecipeError
from sft_core.recipe import Recipe
from sft_core.recipe.inputs import locate_inputs
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.store.file_digests import FileDigests
from sft_core.store.fingerprint import digest_bytes
from sft_core.store.image_store import ImageStore, decode_images
from sft_core.store.ledger import Ledger, Rejection
from sft_core.store.tables import read_table
from tasks.detect_formats import detect_formats
from tasks.gather_images import gather_images, shards_with_images, with_images
from tasks.ingest_sources import ingest_sources, pieces_of, shards_of
from tasks.stages.run_context import RunContext
from tasks.workers import shard_workers
from tests.sft_core.data.images.pictures import BAD, GOOD, colours, png, written
from tests.vision_families import FAMILIES

DATA = Path(__file__).parents[2].parent / "shared" / "data"
MISSING = "an image's file is missing"


@pytest.fixture(scope="session")
def vision_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer with an image processor."""
    return FAMILIES["qwen2_5_vl"].save_processor(tmp_path_factory.mktemp("vision"))


@dataclass(frozen=True)
class Gathered:
    """What one run made of the images."""

    store: ArtifactStore
    named: list[NamedImages]
    refs: list[ArtifactRef]
    examples: list[ArtifactRef]
    files: ShardFiles

    @property
    def made(self) -> list[str]:
        """The shards that this run gathered, and did not find."""
        return [ref.name for ref in self.refs if self.store.manifest(ref).made_by == self.store.made_by]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for ref in self.examples for row in read_table(self.store.path(ref) / "examples.arrow").to_pylist()]

    @property
    def rejections(self) -> list[Rejection]:
        return list(rejections_of(self.store, self.examples, self.files))

    @property
    def ledger(self) -> Ledger:
        return ledger_of(self.store, self.examples)

    @property
    def images(self) -> ImageStore:
        return ImageStore.below(self.store.root)


class Workplace:
    """Data, a home, and a recipe's stages up to the images."""

    def __init__(self, folder: Path, tokenizer: Path) -> None:
        self.folder, self.tokenizer, self.data = folder, tokenizer, folder / "data"
        self.data.mkdir()
        self.runs = 0

    def write(self, rows: list[Any], name: str = "rows.jsonl") -> Path:
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def draw(self, name: str, content: bytes | None = None) -> Path:
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png() if content is None else content)
        return path

    def recipe(self, source: dict[str, Any] | None = None, **sections: Any) -> Recipe:
        found = {"path": str(self.data / "rows.jsonl"), "shard_rows": 2, **(source or {})}
        model = {"init": "config", "config": {"model_type": "llama"}, "tokenizer": str(self.tokenizer)}
        return Recipe.model_validate({"name": "shown", "model": model, "sources": [found], **sections})

    def gather(self, source: dict[str, Any] | None = None, num_workers: int = 1, **sections: Any) -> Gathered:
        self.runs += 1
        recipe = self.recipe(source, runtime={"num_workers": num_workers, "task_runner": "threads"}, **sections)
        store = ArtifactStore(root=self.folder / "home", made_by=f"run {self.runs}")
        digests = FileDigests.below(store.root)
        inputs = locate_inputs(recipe, digests)
        with shard_workers(recipe.runtime) as workers:
            context = RunContext(store, workers)
            shards = shards_of(store, inputs.sources, ingest_sources(pieces_of(inputs.sources), context))
            detected = detect_formats(recipe.formats, shards, context)
            named = shards_with_images(store, inputs.sources, shards, detected, inputs.processor, digests)
            refs = gather_images(recipe.images, named, context) if named else []
        return Gathered(store, named, refs, with_images(detected, named, refs), ShardFiles.of(shards))


@pytest.fixture
def work(tmp_path: Path, vision_folder: Path) -> Workplace:
    return Workplace(tmp_path, vision_folder)


def asking(images: Any, question: str = "What?") -> dict[str, Any]:
    return {"prompt": [{"role": "user", "content": question}], "completion": "A dog.", "images": images}


def sizes(row: dict[str, Any]) -> list[tuple[int, int]]:
    return [(image.width, image.height) for image in decode_images(row["images"])]


def test_all_ways_to_give_an_image_come_to_one(work: Workplace) -> None:
    content = png()
    work.draw("photos/1.png", content)
    text = base64.b64encode(content).decode()
    given = [
        "photos/1.png",
        str(work.data / "photos" / "1.png"),
        {"path": "photos/1.png"},
        {"bytes": text, "path": None},
    ]
    given += [{"bytes": text, "path": "x.png"}, f"data:image/png;base64,{text}"]
    work.write([asking([image]) for image in given])
    found = work.gather()
    assert [len(found.rows), found.rejections] == [6, []]
    assert {row["images"] for row in found.rows} == {
        json.dumps([{"digest": digest_bytes([content]), "width": 40, "height": 30}], separators=(",", ":"))
    }
    assert len({row["example_id"] for row in found.rows}) == len({row["prompt_id"] for row in found.rows}) == 1
    assert found.images.path(digest_bytes([content])).read_bytes() == content
    for ref in found.refs:
        manifest = found.store.manifest(ref)
        assert (manifest.facts["images"], manifest.facts["rows_with_images"]) == (1, 2)
        named = orjson.loads((found.store.path(ref) / "images.json").read_bytes())
        assert named == [digest_bytes([content])]


def test_binary_columns_and_images_of_datasets_are_read(work: Workplace) -> None:
    contents = [GOOD["jpeg"][0], GOOD["turned"][0]]
    embedded = [{"bytes": content, "path": f"{number}.jpg"} for number, content in enumerate(contents)]
    table = {"prompt": ["a", "b"], "completion": ["c", "d"]}
    pq.write_table(pa.table({**table, "image": contents}), work.data / "bare.parquet")
    pq.write_table(pa.table({**table, "images": [[one] for one in embedded]}), work.data / "embedded.parquet")
    found = work.gather({"path": str(work.data), "name": "both"})
    assert [sizes(row) for row in found.rows] == [[(40, 30)], [(30, 40)]] * 2
    assert {image.digest for row in found.rows for image in decode_images(row["images"])} == {
        digest_bytes([content]) for content in contents
    }


def test_every_bad_image_sends_its_row_to_the_ledger_and_is_named(work: Workplace) -> None:
    work.draw("good.png")
    rows = []
    for number, (content, _) in enumerate(BAD.values()):
        work.draw(f"{number}.png", content)
        rows += [asking(["good.png", f"{number}.png"])]
        if content:
            rows += [asking([{"bytes": base64.b64encode(content).decode(), "path": f"{number}.embedded"}])]
    reasons = [reason for content, reason in BAD.values() for _ in range(2 if content else 1)]
    rows += [asking(["nowhere.png"]), asking(["../rows.jsonl"]), asking([{"bytes": "!!"}]), asking("good.png")]
    outside = "an image's file lies outside of the folder of the data file: set `sources[].image_folder`"
    reasons += [MISSING, outside, "an image's bytes are not base64"]
    work.write(rows)
    found = work.gather({"shard_rows": 1000})
    assert [rejection.reason for rejection in found.rejections] == reasons
    assert {rejection.stage for rejection in found.rejections} == {"gather_images"}
    assert [rejection.row for rejection in found.rejections] == list(range(len(reasons)))
    assert found.rejections[1].excerpt.startswith('image 2 of 2, 1.png: {"messages":')
    assert found.rejections[2].excerpt.startswith("image 1 of 1, 1.embedded: ")
    assert found.rejections[-1].excerpt.startswith("image 1 of 1, given by its bytes: ")
    assert [len(found.rows), found.ledger.rows_train, found.ledger.rows_rejected] == [1, 1, len(reasons)]
    assert found.ledger.rejected_by_reason["an image is animated, or holds several pages"] == 8


def test_rejections_of_both_stages_stand_together(work: Workplace) -> None:
    work.draw("1.png")
    work.write([asking(["2.png"]), {"prompt": None}, asking(["1.png"]), asking(["1.png", "https://x.org/1.png"])])
    found = work.gather({"shard_rows": 4}, formats={"eval_fraction": 0.999})
    assert [(one.row, one.stage) for one in found.rejections] == [
        (1, "detect_formats"),
        (3, "detect_formats"),
        (0, "gather_images"),
    ]
    assert found.ledger.rows_eval + found.ledger.rows_train == 1


def test_a_limit_of_the_recipe_is_another_key(work: Workplace) -> None:
    work.draw("1.png")
    work.write([asking(["1.png"])])
    assert len(work.gather().made) == 1
    lower = work.gather(images={"max_pixels": 1199})
    assert [len(lower.made), lower.rows] == [1, []]
    assert len(work.gather(images={"max_pixels": 100_000_000}).made) == 0, "the default, spelled out"


def test_shards_without_images_are_passed_by(work: Workplace) -> None:
    work.draw("1.png")
    text = {"prompt": "2+2=", "completion": "4"}
    work.write([text, text, asking(["1.png"]), text, text, {**text, "images": []}])
    found = work.gather()
    assert [ref.stage for ref in found.examples] == ["detect_formats", "gather_images", "detect_formats"]
    assert [row["row"] for row in found.rows] == list(range(6))
    assert [row["images"] is not None for row in found.rows] == [False, False, True, False, False, False]
    work.write([text] * 4)
    assert work.gather().refs == []


def test_without_an_image_processor_images_are_refused_by_their_source(tmp_path: Path, tokenizer_folder: Path) -> None:
    work = Workplace(tmp_path, tokenizer_folder)
    work.draw("1.png")
    work.write([{"text": "a"}, {"text": "b"}])
    assert work.gather().refs == []
    work.write([{"text": "a"}, {"text": "b", "image": "1.png"}])
    refused = r"source 'rows' has rows with images \(1 in its shard .* without an image processor"
    with pytest.raises(RecipeError, match=refused):
        work.gather()


class TestDemo:
    """The demo of multimodal data of LLaMA-Factory: six rows, three photographs."""

    @pytest.fixture
    def demo(self, work: Workplace) -> Workplace:
        if not DATA.is_dir():
            pytest.skip(f"the public data that these tests read is not there ({DATA})")
        shutil.copytree(DATA / "mllm_demo_data", work.data / "mllm_demo_data")
        shutil.copy(DATA / "mllm_demo.json", work.data)
        for path in work.data.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        return work

    SOURCE = {"path": "mllm_demo.json", "shard_rows": 2}

    def gather(self, work: Workplace, **options: Any) -> Gathered:
        return work.gather({**self.SOURCE, "path": str(work.data / "mllm_demo.json")}, **options)

    def test_marks_become_parts_and_paths_become_images(self, demo: Workplace) -> None:
        found = self.gather(demo)
        rows = json.loads((demo.data / "mllm_demo.json").read_text())
        assert [len(found.rows), found.rejections] == [len(rows), []]
        for row, given in zip(found.rows, rows, strict=True):
            messages = json.loads(row["example"])["messages"]
            assert ["".join(_words(message)) for message in messages] == [one["content"] for one in given["messages"]]
            contents = [(demo.data / name).read_bytes() for name in given["images"]]
            assert [image.digest for image in decode_images(row["images"])] == [digest_bytes([one]) for one in contents]
            for image in decode_images(row["images"]):
                assert found.images.open(image.digest).size == (image.width, image.height)

    def test_a_second_run_does_nothing(self, demo: Workplace) -> None:
        assert len(self.gather(demo).made) == 3
        assert self.gather(demo).made == []

    def test_a_byte_of_an_image_is_its_shards_alone(self, demo: Workplace) -> None:
        before = self.gather(demo)
        photo = demo.data / "mllm_demo_data" / "3.jpg"
        content = bytearray(photo.read_bytes())
        content[-100] ^= 1
        photo.write_bytes(content)
        rows = json.loads((demo.data / "mllm_demo.json").read_text())
        shards = {number // 2 for number, row in enumerate(rows) if "mllm_demo_data/3.jpg" in row["images"]}
        assert 0 < len(shards) < 3
        after = self.gather(demo)
        assert after.made == [f"mllm_demo-{number:05d}" for number in sorted(shards)]
        changed = [old["example_id"] != new["example_id"] for old, new in zip(before.rows, after.rows, strict=True)]
        assert changed == ["mllm_demo_data/3.jpg" in row["images"] for row in rows]

    def test_an_image_that_is_gone_from_the_home_is_brought_again(self, demo: Workplace) -> None:
        before = self.gather(demo)
        digest = digest_bytes([(demo.data / "mllm_demo_data" / "1.jpg").read_bytes()])
        before.images.path(digest).unlink()
        after = self.gather(demo)
        assert after.images.has(digest)
        assert 0 < len(after.made) < 3
        assert [ref.key for ref in after.refs] == [ref.key for ref in before.refs]
        before.images.path(digest).write_bytes(b"")
        assert self.gather(demo).images.path(digest).stat().st_size > 0, "what a crash may leave of a file"

    def test_data_that_is_moved_with_its_images_is_the_same(self, demo: Workplace) -> None:
        keys = [ref.key for ref in self.gather(demo).refs]
        demo.data = demo.data.rename(demo.folder / "elsewhere")
        moved = self.gather(demo)
        assert [moved.made, [ref.key for ref in moved.refs]] == [[], keys]
        touched = demo.data / "mllm_demo_data" / "1.jpg"
        os.utime(touched, (1, 1))
        assert self.gather(demo).made == []

    def test_a_file_that_goes_away_rejects_its_rows_and_takes_them_back_when_it_comes(self, demo: Workplace) -> None:
        self.gather(demo)
        photo = demo.data / "mllm_demo_data" / "2.jpg"
        photo.rename(demo.folder / "kept.jpg")
        without = self.gather(demo)
        assert {one.reason for one in without.rejections} == {MISSING}
        assert all("mllm_demo_data/2.jpg" in one.excerpt for one in without.rejections)
        (demo.folder / "kept.jpg").rename(photo)
        again = self.gather(demo)
        assert [again.made, again.rejections] == [[], []]

    def test_the_number_of_workers_does_not_matter(self, demo: Workplace) -> None:
        one = self.gather(demo).rows
        shutil.rmtree(demo.folder / "home")
        assert self.gather(demo, num_workers=4).rows == one


def _words(message: dict[str, Any]) -> list[str]:
    content = message["content"]
    return [content] if isinstance(content, str) else [part.get("text", "<image>") for part in content]


def test_equal_rows_in_two_folders_show_the_images_beside_them(work: Workplace) -> None:
    for number, name in enumerate("ab"):
        work.write([asking(["1.png"])], f"{name}/rows.jsonl")
        work.draw(f"{name}/1.png", png(10 + number, 10))
    found = work.gather({"path": str(work.data), "name": "both"})
    assert [sizes(row) for row in found.rows] == [[(10, 10)], [(11, 10)]]
    assert len({row["example_id"] for row in found.rows}) == 2, "no duplicates"
    work.draw("b/1.png", png(12, 10))
    again = work.gather({"path": str(work.data), "name": "both"})
    assert [sizes(row) for row in again.rows] == [[(10, 10)], [(12, 10)]]


def test_small_files_that_share_a_shard_have_each_their_own_folder(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        work.write([asking(["own.png"])] * (number % 3), f"{number:02d}/rows.jsonl")
        work.draw(f"{number:02d}/own.png", png(10 + number, 10))
    (work.data / "05" / "own.png").unlink()
    expected = [(10 + number, 10) for number in range(12) if number != 5 for _ in range(number % 3)]
    made = {}
    for is_grouped in (False, True):
        monkeypatch.setattr(group, "FEWEST_FILES", 1 if is_grouped else 10**9)
        monkeypatch.setattr(group, "GROUP_BYTES", 1 << 20)
        for path in work.data.rglob("rows.jsonl"):
            if not path.stat().st_size:
                path.write_text("\n")
        found = work.gather({"path": str(work.data), "name": "many", "shard_rows": 4096})
        made[is_grouped] = found
        assert [sizes(row)[0] for row in found.rows] == expected
    assert len(made[True].refs) < len(made[False].refs)
    places = [[(one.file, one.row, one.reason) for one in made[is_grouped].rejections] for is_grouped in (False, True)]
    assert places == [[("05/rows.jsonl", row, MISSING) for row in range(2)]] * 2


def test_a_folder_of_the_recipe_lets_images_lie_elsewhere(work: Workplace) -> None:
    work.draw("../photos/1.png")
    work.write([asking(["../photos/1.png"]), asking(["1.png"]), asking([str(work.folder / "photos" / "1.png")])])
    assert [len(one.excerpt) > 0 for one in work.gather().rejections] == [True] * 3
    found = work.gather({"image_folder": str(work.folder / "photos")})
    assert [row["row"] for row in found.rows] == [0, 1, 2]
    with pytest.raises(RecipeError, match=r"expected a folder at `image_folder` '.*nowhere' of source 'rows'"):
        work.gather({"image_folder": str(work.folder / "nowhere")})


def test_data_of_the_hub_must_hold_its_images(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    work.draw("1.png")
    text = base64.b64encode(png()).decode()
    path = work.write([asking(["1.png"]), asking([{"bytes": text, "path": "1.png"}])])
    monkeypatch.setattr("sft_core.data.sources.find.download_data_files", lambda url: ("c" * 40, [path]))
    found = work.gather({"path": "hf://datasets/o/n/rows.jsonl"})
    assert [row["row"] for row in found.rows] == [1]
    assert "on the Hub" in found.rejections[0].reason
    assert len(work.gather({"path": "hf://datasets/o/n/rows.jsonl", "image_folder": str(work.data)}).rows) == 2


def test_an_image_that_changes_while_it_is_read_ends_the_run(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    work.write([asking(["1.png"])])
    work.draw("1.png")
    digest = "0" * 32
    monkeypatch.setattr("sft_core.store.file_digests.digest_file", lambda path: digest)
    with pytest.raises(DataError, match="the image changed while it was being read"):
        work.gather()


def test_an_image_that_is_put_again_is_in_use_again(work: Workplace) -> None:
    store, content = ImageStore(work.folder / "images"), written(colours())
    digest = store.put(content)
    os.utime(store.path(digest), (1, 1))
    began = time.time()
    assert store.put(content) == digest
    assert store.path(digest).stat().st_mtime >= began - 1
