"""Models of images and text, trained: what a loss does not depend on, and what is trained, saved and loaded again."""

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from sft_core.errors import RecipeError
from sft_core.modeling import (
    NO_BLOCK,
    Blocks,
    Collator,
    Documents,
    ImagePositions,
    PixelMaker,
    Probe,
    as_token_sums,
    difference,
    evaluate_batches,
    load_model,
    load_trained,
    measure_head,
    probe_logits,
    supervise,
)
from sft_core.modeling.model_parts import parameters_of
from sft_core.pretrained.model import ModelConfig
from sft_core.pretrained.processor import PROCESSOR_FILES, load_processor, locate_processor
from sft_core.pretrained.tokenizer import load_tokenizer, locate_tokenizer
from sft_core.store.file_digests import FileDigests
from sft_core.training import rewind
from sft_core.training.run import train
from tests.sft_core.training.tiny_training import TinyTraining
from tests.sft_core.training.vision_training import OPTIONS, VisionTraining, rows
from tests.vision_families import FAMILIES

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], VisionTraining]:
    """Give a family's processor, weights and data, which are written once: twelve rows, every third of text alone."""

    @functools.cache
    def write(family: str) -> VisionTraining:
        made = VisionTraining.of(family, tmp_path_factory.mktemp(family))
        made.write_blocks("train", made.documents(rows(with_text_alone=True)))
        return made

    return write


@pytest.fixture(params=FAMILIES)
def training(
    request: pytest.FixtureRequest, written: Callable[[str], VisionTraining], tmp_path: Path
) -> VisionTraining:
    return written(request.param).linked_to(tmp_path / "training")


@pytest.fixture
def one(written: Callable[[str], VisionTraining], tmp_path: Path) -> VisionTraining:
    """That of one family, for what does not depend on the family."""
    return written("qwen2_5_vl").linked_to(tmp_path / "training")


def weights(training: VisionTraining, folder: str) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load_trained(training.root / folder).state_dict()
    return state


def losses(training: VisionTraining, name: str, **options: Any) -> list[float]:
    train(training.plan(name, **options))
    return training.losses(name)


def collator(training: VisionTraining, model: Any, padding_free: bool = False) -> Collator:
    pixels = PixelMaker(training.processor, training.root / "images")
    return Collator(model.config.pad_token_id, padding_free, True, pixels, ImagePositions.of(model))


def loaded(training: VisionTraining) -> Any:
    return load_model(training.model(), load_tokenizer(training.processor.tokenizer), seed=0).eval()


def test_losses_do_not_depend_on_how_a_step_is_divided(training: VisionTraining) -> None:
    together = losses(training, "4x1", per_device_train_batch_size=4)
    apart = losses(training, "1x4", per_device_train_batch_size=1, gradient_accumulation_steps=4)
    assert together == pytest.approx(apart, rel=1e-5)
    assert together[0] > together[-1], "something was learnt"


def test_gradient_checkpointing_changes_nothing(training: VisionTraining) -> None:
    kept = losses(training, "kept")
    again = losses(training, "again", gradient_checkpointing=True)
    assert kept == pytest.approx(again, rel=1e-6)


def test_workers_load_what_the_process_itself_would(training: VisionTraining) -> None:
    assert losses(training, "none") == losses(training, "workers", dataloader_num_workers=2)


def test_the_fused_loss_is_that_of_the_models_own_logits(training: VisionTraining) -> None:
    model, blocks = loaded(training), Blocks(training.root / "train")
    batch = collator(training, model)([blocks[number] for number in range(4)])
    head = measure_head(model, batch)
    assert head.linear is not None, "the fused step takes the head's place"
    found = supervise(model, head, batch).loss
    inputs = {name: part for name, part in batch.items() if name not in ("segments", "num_tokens", "num_pairs")}
    own = model(**inputs, use_cache=False).loss * (batch["labels"][:, 1:] != -100).sum()
    torch.testing.assert_close(found, own, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["qwen2_5_vl", "llava_onevision", "idefics3"])
@pytest.mark.parametrize("padding_free", [False, True])
def test_packed_documents_give_the_losses_of_each_alone(
    name: str, padding_free: bool, written: Callable[[str], VisionTraining], tmp_path: Path
) -> None:
    training = written(name).linked_to(tmp_path / "training")
    documents = training.documents(rows(with_text_alone=True))
    training.write_blocks("packed", documents, per_block=3)
    alone = losses(training, "alone", per_device_train_batch_size=6)
    packed = losses(training, "together", train="packed", padding_free=padding_free)
    assert packed == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize(("per_block", "padding_free"), [(3, False), (1, True)])
def test_gemma_whose_images_see_across_documents_is_refused(per_block: int, padding_free: bool, tmp_path: Path) -> None:
    training = VisionTraining.of("gemma3", tmp_path)
    training.write_blocks("train", training.documents(rows()), per_block)
    with pytest.raises(RecipeError, match=r"documents that share a (row|batch) affect each other"):
        train(training.plan("out", padding_free=padding_free))


def test_varlen_is_refused_where_the_encoder_cannot_take_it(training: VisionTraining) -> None:
    with pytest.raises(RecipeError, match="varlen"):
        train(training.plan("out", model=training.model(attn_implementation="varlen")))


def test_positions_of_documents_that_share_a_row_are_the_models_own(one: VisionTraining) -> None:
    model, documents = loaded(one), one.documents(rows(4, with_text_alone=True))
    one.write_blocks("packed", documents, per_block=4)
    block = Blocks(one.root / "packed")[0]
    pixels = PixelMaker(one.processor, one.root / "images")
    found = collator(one, model)([block])["position_ids"][:, 0]
    expected = []
    for document in documents:
        ids = torch.tensor([document["input_ids"]])
        inputs = pixels.inputs([document["images"]], ids)
        line = torch.arange(ids.shape[1])[None]
        if not document["images"]:
            expected.append(line.expand(4, -1))
            continue
        types, grids = inputs["mm_token_type_ids"], inputs["image_grid_thw"]
        own, _ = model.model.get_rope_index(ids, mm_token_type_ids=types, image_grid_thw=grids)
        expected.append(torch.cat([line, own[:, 0]]))
    assert torch.equal(found, torch.cat(expected, dim=1))
    assert not torch.equal(found[1], found[2]), "the test has images whose places differ"


def test_a_document_keeps_its_images(one: VisionTraining) -> None:
    documents = one.documents(rows(6, with_text_alone=True))
    one.write_blocks("packed", documents, per_block=3)
    blocks = Blocks(one.root / "packed")
    expected = [document["images"] for document in documents]
    assert blocks[0]["images"] + blocks[1]["images"] == expected
    alone = Documents(blocks)
    assert [alone[number]["images"] for number in range(len(alone))] == [[images] for images in expected]
    assert blocks[NO_BLOCK]["images"] == []


def test_a_batch_of_no_block_is_one_of_padding(training: VisionTraining) -> None:
    model = loaded(training)
    batch = collator(training, model)([Blocks(training.root / "train")[NO_BLOCK]])
    assert "pixel_values" not in batch
    assert supervise(model, measure_head(model, batch), batch).loss.item() == 0


def test_batches_reach_the_trainer_the_same_through_spawned_workers(one: VisionTraining) -> None:
    """Nothing of the model's weights is sent there."""
    model, blocks = loaded(one), Blocks(one.root / "train")
    make = collator(one, model, padding_free=True)
    here = make([blocks[0], blocks[1]])
    loader = DataLoader(blocks, 2, collate_fn=make, num_workers=1, multiprocessing_context="spawn")
    there = next(iter(loader))
    assert all(torch.equal(here[name], there[name]) for name in ("input_ids", "position_ids", "pixel_values"))


PARTS = {
    "qwen2_5_vl": {"vision": "model.visual.blocks.0.", "projector": "model.visual.merger.", "language": "lm_head."},
    "llava_onevision": {
        "vision": "model.vision_tower.",
        "projector": "model.multi_modal_projector.",
        "language": "model.language_model.",
    },
    "idefics3": {"vision": "model.vision_model.", "projector": "model.connector.", "language": "model.text_model."},
    "gemma3": {
        "vision": "model.vision_tower.",
        "projector": "model.multi_modal_projector.",
        "language": "model.language_model.",
    },
}


@pytest.mark.parametrize("part", ["vision", "projector", "language"])
def test_a_frozen_part_stays_and_the_others_move(training: VisionTraining, part: Any) -> None:
    train(training.plan("out", freeze=(part,)))
    model, before, after = loaded(training), weights(training, "base"), weights(training, "out/model")
    frozen = {id(parameter) for parameter in parameters_of(model, [part])}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in frozen}
    prefix = PARTS[training.family.name][part]
    assert any(name.startswith(prefix) for name in names)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    others = tuple(name for other, name in PARTS[training.family.name].items() if other != part)
    assert not {name for name in moved if name.startswith(prefix)}
    assert all(any(name.startswith(other) for name in moved) for other in others)
    result = (training.root / "out/result.json").read_text()
    assert f'"num_trained_parameters": {sum(p.numel() for p in model.parameters() if id(p) not in frozen)}' in result


def test_every_parameter_is_in_one_part(training: VisionTraining) -> None:
    model = loaded(training)
    parts = [{id(p) for p in parameters_of(model, [part])} for part in ("vision", "projector", "language")]  # type: ignore[list-item]
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(list(model.parameters()))


def test_nothing_left_to_train_is_an_error(one: VisionTraining) -> None:
    with pytest.raises(RecipeError, match=r"nothing of .* is left to train"):
        train(one.plan("out", freeze=("vision", "projector", "language")))


def test_the_last_layers_are_those_of_the_language_model(training: VisionTraining) -> None:
    train(training.plan("out", num_layers_unfrozen=1, freeze=("vision", "projector")))
    before, after = weights(training, "base"), weights(training, "out/model")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(".layers.1." in name for name in moved)
    assert not any(".layers.0." in name or "embed_tokens" in name for name in moved)


@pytest.mark.parametrize("fields", [{}, {"target_modules": "all-linear"}])
def test_lora_adapts_the_language_part_alone_and_is_merged(training: VisionTraining, fields: dict[str, Any]) -> None:
    found = losses(training, "out", peft={"peft_type": "LORA", "r": 4, **fields}, learning_rate=1e-2)
    assert found[0] > found[-1]
    adapter = load_file(training.root / "out/adapter/adapter_model.safetensors")
    assert adapter
    assert all("language_model" in name or "text_model" in name for name in adapter)
    check_stored_model(training)


def test_lora_puts_adapters_where_the_recipe_says(one: VisionTraining) -> None:
    train(one.plan("out", peft={"peft_type": "LORA", "r": 4, "target_modules": ["qkv", "q_proj"]}))
    adapter = load_file(one.root / "out/adapter/adapter_model.safetensors")
    assert any("visual" in name for name in adapter)
    assert any("language_model" in name for name in adapter)


def check_stored_model(training: VisionTraining) -> None:
    """It answers as the one in memory did, with an image as well."""
    output = training.root / "out"
    probe = Probe.read(output / "probe.safetensors")
    assert "pixel_values" in probe.images[-1]
    model = load_trained(output / "model").eval()
    assert difference(probe.logits, probe_logits(model, probe.texts, CPU, probe.images)) < 1e-3


def test_a_stored_model_is_loaded_with_its_processor(training: VisionTraining) -> None:
    train(training.plan("out", save_strategy="steps", save_steps=5))
    check_stored_model(training)
    digests = FileDigests(training.root / "digests.json")
    for folder in ("out/model", "out/checkpoints/checkpoint-5"):
        for name in PROCESSOR_FILES:
            file = training.root / "processor" / name
            assert (training.root / folder / name).exists() == file.exists()
            assert not file.exists() or (training.root / folder / name).read_bytes() == file.read_bytes()
    stored = locate_processor(locate_tokenizer(ModelConfig(path=str(training.root / "out/model")), digests), digests)
    assert stored is not None
    assert load_processor(stored).expansions([(40, 60)]) == load_processor(training.processor).expansions([(40, 60)])


def test_the_probe_finds_a_changed_encoder(training: VisionTraining) -> None:
    train(training.plan("out"))
    probe, model = Probe.read(training.root / "out/probe.safetensors"), load_trained(training.root / "out/model").eval()
    with torch.no_grad():
        for parameter in parameters_of(model, ["projector"]):
            parameter.normal_()
    assert difference(probe.logits, probe_logits(model, probe.texts, CPU, probe.images)) > 5e-3


def test_the_best_checkpoint_is_what_is_delivered(training: VisionTraining) -> None:
    """The largest loss is asked for here, because the last weights have a smaller one."""
    training.write_blocks("eval", training.documents(rows(20)[12:]))
    evaluation = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1}
    train(training.plan("out", load_best_model_at_end=True, greater_is_better=True, **evaluation))
    held_out = [line["eval_loss"] for line in training.lines("out") if "eval_loss" in line]
    assert max(held_out) > held_out[-1], "the test has a best step that is not the last"
    model, blocks = load_trained(training.root / "out/model"), Blocks(training.root / "eval")
    batch = collator(training, model)([blocks[number] for number in range(len(blocks))])
    sums = as_token_sums(evaluate_batches(model, [batch], CPU))
    assert sums.loss / sums.weight == pytest.approx(max(held_out), rel=1e-5)


def test_an_interrupted_training_goes_on_to_the_last_bit(training: VisionTraining) -> None:
    options = {**OPTIONS, "save_strategy": "steps", "save_steps": 2, "save_total_limit": None}
    train(training.plan("whole", **options))
    plan = training.plan("again", **options)
    shutil.copytree(training.root / "whole/checkpoints/checkpoint-2", training.root / "again/checkpoints/checkpoint-2")
    shutil.copy(training.root / "whole/metrics.jsonl", training.root / "again/metrics.jsonl")
    rewind(plan.output_folder)
    train(plan)
    whole, again = ((training.root / name / "model/model.safetensors").read_bytes() for name in ("whole", "again"))
    assert whole == again
    assert '"resumed_from": 2' in (training.root / "again/result.json").read_text()


def test_random_weights_take_sizes_and_ids_from_the_tokenizer(training: VisionTraining) -> None:
    config = training.family.model_config()
    text = {name: value for name, value in config["text_config"].items() if name not in ("vocab_size", "pad_token_id")}
    ref = training.model(path=None, init="config", config={**config, "text_config": text})
    tokenizer = load_tokenizer(training.processor.tokenizer)
    model = load_model(ref, tokenizer, seed=1)
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer)
    assert model.config.get_text_config().pad_token_id == tokenizer.pad_token_id


def test_another_image_token_than_the_processors_is_told(one: VisionTraining) -> None:
    config = {**one.family.model_config(), "image_token_id": 5}
    with pytest.raises(RecipeError, match="inserts images at tokens with the id 5"):
        train(one.plan("out", model=one.model(path=None, init="config", config=config)))


def test_a_model_of_text_refuses_images(one: VisionTraining) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    llama = {"model_type": "llama", **sizes}
    with pytest.raises(RecipeError, match="the data has images, which LlamaForCausalLM cannot take"):
        train(one.plan("out", model=one.model(path=None, init="config", config=llama)))
    with pytest.raises(RecipeError, match="parts of a vision-language model"):
        train(one.plan("out", model=one.model(path=None, init="config", config=llama), freeze=("vision",)))


def test_texts_alone_train_such_a_model_as_well(training: VisionTraining) -> None:
    texts = [row for row in rows(18, with_text_alone=True) if not row.images]
    training.write_blocks("texts", training.documents(texts))
    found = losses(training, "out", train="texts")
    assert found[0] > found[-1]


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "again"])
def test_processes_of_which_some_see_no_image_train_as_one_does(one: VisionTraining, checkpointing: bool) -> None:
    options = {"gradient_checkpointing": checkpointing}
    together = losses(one, "one", per_device_train_batch_size=2, **options)
    plan = one.plan("two", per_device_train_batch_size=1, num_processes=2, **options)
    TinyTraining(plan).finish()
    assert one.losses("two") == pytest.approx(together, rel=1e-5)
