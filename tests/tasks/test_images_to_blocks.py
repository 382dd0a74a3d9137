"""From examples with images to packed blocks, by the tasks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from datasets import load_from_disk

from sft_core.data.accounts import Origins, ShardFiles
from sft_core.data.chat import TemplateRef
from sft_core.errors import RecipeError
from sft_core.pretrained.reader import Reader
from sft_core.recipe import Recipe
from sft_core.store.artifact import ArtifactRef, ArtifactStore, plan_artifact
from sft_core.store.image_store import ImageRef, encode_images
from sft_core.store.ledger import Ledger, write_rejections
from sft_core.store.records import EXAMPLES, RECORDS, Conversation, Example, StageOutcome
from sft_core.store.tables import iterate_rows, write_table
from tasks.pack_shards import pack_shards
from tasks.render_chats import render_chats
from tasks.stages.run_context import RunContext
from tasks.tokenize_chats import tokenize_chats
from tasks.workers import shard_workers
from tests.vision_families import FAMILIES
from tests.vision_rows import IMAGE, Model, asked, blank, model_in

ONE, TWO = blank((30, 40)), blank((60, 60), (28, 90))
ROWS: list[tuple[Example, Sequence[ImageRef]]] = [
    (asked(IMAGE, "What?"), ONE),
    (asked("2+2?", answer="4"), []),
    (Conversation(asked("First ", IMAGE, " then ", IMAGE, "?").messages), TWO),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return model_in(FAMILIES["qwen2_5_vl"].save_processor(tmp_path_factory.mktemp("model")))


def recipe_of(model: Model, **packing: Any) -> Recipe:
    described = {"init": "config", "config": {"model_type": "qwen2_5_vl"}, "tokenizer": str(model.tokenizer.folder)}
    sections = {"packing": packing, "tokens": {"max_length": 200}, "runtime": {"num_workers": 2}}
    return Recipe.model_validate({"name": "seen", "model": described, "sources": [{"path": "a.jsonl"}], **sections})


def gathered(store: ArtifactStore, number: int, rows: Any) -> ArtifactRef:
    """A shard as it is before it is rendered; its last row is held out."""
    splits = ["train"] * (len(rows) - 1) + ["eval"]
    table = [
        {
            "row": at,
            "line": None,
            "split": split,
            "format": "any",
            "example": orjson.dumps(example).decode(),
            "images": encode_images(images).decode() if images else None,
        }
        for at, ((example, images), split) in enumerate(zip(rows, splits, strict=True))
    ]

    def write(folder: Path) -> StageOutcome:
        write_table(folder / "examples.arrow", EXAMPLES, table)
        write_rejections(folder / "rejected.jsonl", [])
        ledger = Ledger(rows_in=len(rows), rows_train=len(rows) - 1, rows_eval=1)
        return StageOutcome(
            ledger=ledger, facts={"source": "s", "rows_with_images": sum(bool(images) for _, images in rows)}
        )

    records = [{"row": at, "line": None, "record": "{}"} for at in range(len(rows))]
    write_table(store.root / f"records-{number}.arrow", RECORDS, records)
    return store.build(plan_artifact("gather_images", f"s-{number:05d}", {"rows": table}), write)


def tokens_of(store: ArtifactStore, model: Model, recipe: Recipe, shards: list[ArtifactRef]) -> list[ArtifactRef]:
    have_images = [store.manifest(ref).facts["rows_with_images"] > 0 for ref in shards]
    reader = Reader(model.tokenizer, model.processor if any(have_images) else None)
    with shard_workers(recipe.runtime) as workers:
        context = RunContext(store, workers)
        rendered = render_chats(recipe.chat, TemplateRef(), reader, shards, context)
        return tokenize_chats(recipe.tokens, recipe.limits(any(have_images)), reader, rendered, context)


def pack(root: Path, model: Model, recipe: Recipe, *shards: Any) -> Path:
    root.mkdir()
    store = ArtifactStore(root=root)
    tokens = tokens_of(store, model, recipe, [gathered(store, number, rows) for number, rows in enumerate(shards)])
    records = tuple(f"records-{number}.arrow" for number in range(len(shards)))
    origins = Origins((1.0,) * len(shards), records, ShardFiles(("a.jsonl",) * len(shards), records))
    return store.path(pack_shards(recipe.packing, recipe.tokens.max_length, tokens, origins, RunContext(store)))


def images_in(folder: Path) -> list[Any]:
    lists = load_from_disk(str(folder))["images"]
    return [orjson.loads(images) if images else None for images in lists]


def fields(images: Sequence[ImageRef]) -> list[Any]:
    return list(orjson.loads(encode_images(images)))


def test_each_row_of_a_block_keeps_its_images(tmp_path: Path, model: Model) -> None:
    """Also where the rows come from several shards, which are made in processes of their own."""
    folder = pack(tmp_path / "home", model, recipe_of(model, packing=True), *[ROWS] * 6)
    blocks = load_from_disk(str(folder / "train"))
    (image_id,) = FAMILIES["qwen2_5_vl"].processor().image_token_ids
    shown = 0
    for ids, lengths, images in zip(
        blocks["input_ids"], blocks["seq_lengths"], images_in(folder / "train"), strict=True
    ):
        assert len(images) == len(lengths) > 1
        for length, own in zip(lengths, images, strict=True):
            sequence, ids = ids[:length], ids[length:]
            assert own == (fields(ONE) if image_id in sequence else [])
            shown += len(own)
    assert shown == 6
    (prompt, *_) = iterate_rows(folder / "prompts.arrow")
    assert (orjson.loads(prompt["images"]), prompt["prompt_ids"].count(image_id)) == (fields(TWO), 4 + 3)


def test_a_row_that_would_be_cut_into_blocks_is_refused(tmp_path: Path, model: Model) -> None:
    long = (asked(IMAGE, "a" * 300), ONE)
    with pytest.raises(RecipeError, match="which `bfd_split` would cut; set `packing_strategy: bfd`"):
        pack(tmp_path / "a", model, recipe_of(model, packing=True, packing_strategy="bfd_split"), [long, *ROWS])
    with pytest.raises(RecipeError, match="which `wrapped` would cut"):
        pack(tmp_path / "b", model, recipe_of(model, packing=True, packing_strategy="wrapped"), ROWS)
    assert len(images_in(pack(tmp_path / "c", model, recipe_of(model, packing=True), [long, *ROWS]) / "train")) > 1


def test_texts_alone_do_not_hang_on_what_the_model_sees(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a run of texts loaded the processor")

    monkeypatch.setattr("sft_core.pretrained.processor.load_processor", refuse)
    folder = pack(tmp_path / "home", model, recipe_of(model), ROWS[1:2] * 3)
    assert "images" not in load_from_disk(str(folder / "train")).column_names


def test_the_processor_and_the_limits_of_images_are_in_the_key_where_there_are_images(
    tmp_path: Path, model: Model
) -> None:
    store = ArtifactStore(root=tmp_path)
    seen, unseen = gathered(store, 0, ROWS), gathered(store, 1, ROWS[1:2] * 2)
    other = model.processor.model_copy(update={"content_digest": "0" * 32})
    changed = Model(model.tokenizer, other)
    recipe, longer = recipe_of(model), recipe_of(model)
    longer = Recipe.model_validate({**longer.model_dump(), "tokens": {"max_length": 200, "max_length_with_images": 9}})

    def keys(model: Model, recipe: Recipe, shard: ArtifactRef) -> str:
        return tokens_of(store, model, recipe, [shard])[0].key

    assert keys(model, recipe, unseen) == keys(changed, recipe, unseen) == keys(model, longer, unseen)
    assert len({keys(model, recipe, seen), keys(changed, recipe, seen), keys(model, longer, seen)}) == 3
