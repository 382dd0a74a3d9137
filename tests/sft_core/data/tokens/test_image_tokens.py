"""Images in texts: expanded as the processor does it, without loss, and never cut in two."""

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sft_core.data.tokens import MaskedRows, TokensConfig
from sft_core.data.tokens.tokenize import CUT_IMAGES, CUT_TARGETS, OTHER_IMAGES, REFUSED_IMAGES
from sft_core.data.tokens.truncate import Cut, cut_rows
from sft_core.store.image_store import decode_images
from sft_core.store.records import Conversation, TextExample, TokenExample
from tests.vision_families import END, FAMILIES, Family
from tests.vision_rows import IMAGE, Made, Model, asked, blank, make, model_in, said

QWEN, LLAVA = FAMILIES["qwen2_5_vl"], FAMILIES["llava_onevision"]
SMALL = (30, 40)
"""One token of Qwen's, with two more around it."""
STOP = 9


@functools.cache
def folder_of(family: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"{family}-"))
    return FAMILIES[family].save_processor(folder)


@functools.cache
def model_of(family: str) -> Model:
    return model_in(folder_of(family))


@functools.cache
def processor_of(family: str) -> Any:
    return FAMILIES[family].processor()


def decoded(family: Family, ids: list[int]) -> str:
    return str(processor_of(family.name).tokenizer.decode(ids))


def learned(family: Family, row: dict[str, Any]) -> str:
    pairs = zip(row["input_ids"], row["loss_mask"], strict=True)
    return decoded(family, [token for token, is_target in pairs if is_target])


def reasons(made: Made) -> list[str]:
    return [one.reason for one in made.rejections]


# Whatever stands before it, a text here spells no special token.
WORDS = st.text("ab c\n.<>|é🦆", max_size=8).filter(lambda text: "<|" not in text)
SIZE = st.tuples(st.integers(20, 90), st.integers(20, 90))
CONTENT = st.lists(st.one_of(WORDS, SIZE), min_size=1, max_size=4)
TURNS = st.lists(st.tuples(CONTENT, WORDS), min_size=1, max_size=3)


def example_of(turns: list[tuple[list[Any], str]]) -> tuple[Conversation, list[tuple[int, int]]]:
    sizes = [part for content, _ in turns for part in content if isinstance(part, tuple)]
    messages = []
    for content, answer in turns:
        parts = [IMAGE if isinstance(part, tuple) else {"type": "text", "text": part} for part in content]
        messages += [{"role": "user", "content": parts}, said("assistant", answer)]
    return Conversation(tuple(messages)), sizes


@given(st.sampled_from(sorted(FAMILIES)), st.lists(TURNS, min_size=1, max_size=4))
def test_texts_become_what_the_processor_makes_of_them(name: str, drawn: list[Any]) -> None:
    """Its ids for the text that its template renders; what the assistant says and its end is learned, no image is."""
    rows, processor = [example_of(turns) for turns in drawn], processor_of(name)
    with tempfile.TemporaryDirectory() as folder:
        given_rows = [(example, blank(*sizes)) for example, sizes in rows]
        made = make(Path(folder) / "made", model_of(name), given_rows, chat={"assistant_only_loss": True})
    assert not made.rejections
    for row, (example, sizes), turns in zip(made.tokens, rows, drawn, strict=True):
        text = processor.apply_chat_template(list(example.messages), tokenize=False)
        images = [[Image.new("RGB", (width, height)) for height, width in sizes]] if sizes else None
        expected = processor(images=images, text=[text], add_special_tokens=False)["input_ids"][0]
        assert row["input_ids"] == expected
        assert learned(FAMILIES[name], row) == "".join(answer + END for _, answer in turns)
        pairs = zip(row["input_ids"], row["loss_mask"], strict=True)
        assert not [token for token, is_target in pairs if is_target and token in processor.image_token_ids]
        assert len(decode_images(row["images"])) == len(sizes)


@pytest.mark.parametrize("name", FAMILIES)
def test_all_that_stands_for_an_image_is_no_target(tmp_path: Path, name: str) -> None:
    family = FAMILIES[name]
    (row,) = make(tmp_path / "made", model_of(name), [(asked("a", IMAGE, "b"), blank(SMALL))]).tokens
    (expansion,) = processor_expansions(name, SMALL)
    whole = decoded(family, row["input_ids"])
    assert whole.count(expansion) == 1
    assert learned(family, row) == whole.replace(expansion, "")


def processor_expansions(name: str, *sizes: tuple[int, int]) -> list[str]:
    images = [[Image.new("RGB", (width, height)) for height, width in sizes]]
    text = processor_of(name).image_token * len(sizes)
    made = processor_of(name)(images=images, text=[text], return_text_replacement_offsets=True)
    return [place["replacement"] for place in made["text_replacement_offsets"][0]]


@pytest.mark.parametrize("name", FAMILIES)
def test_what_data_spells_is_no_image(tmp_path: Path, name: str) -> None:
    """Beside an image and without one, also where the recipe lets data write special tokens."""
    family, words = FAMILIES[name], f"{FAMILIES[name].image}{processor_of(name).image_token}<image>"
    rows = [(asked(IMAGE, words), blank(SMALL)), (asked(words), [])]
    for allowed in (False, True):
        made = make(tmp_path / str(allowed), model_of(name), rows, tokens={"allow_special_tokens_in_content": allowed})
        shown, spelled = made.tokens
        expansion = processor_expansions(name, SMALL)[0]
        assert decoded(family, spelled["input_ids"]).count(words) == 1
        assert decoded(family, shown["input_ids"]).count(expansion + words) + (family is QWEN) == 1
        ids = set(processor_of(name).image_token_ids)
        assert not ids & set(spelled["input_ids"])
        assert sum(token in ids for token in shown["input_ids"]) == count_of(name, expansion)


def count_of(name: str, expansion: str) -> int:
    processor = processor_of(name)
    found = processor.tokenizer(expansion, add_special_tokens=False)["input_ids"]
    return sum(token in processor.image_token_ids for token in found)


def test_a_token_that_the_tokenizer_does_not_call_special_is_none_in_data_either(tmp_path: Path) -> None:
    folder = LLAVA.save_processor(tmp_path / "model")
    described = json.loads((folder / "tokenizer.json").read_text())
    for token in described["added_tokens"]:
        token["special"] = token["special"] and token["content"] != "<image>"
    (folder / "tokenizer.json").write_text(json.dumps(described))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["extra_special_tokens"] = [t for t in config["extra_special_tokens"] if t != "<image>"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    rows = [(asked(IMAGE, "an <image> tag"), blank(SMALL)), (asked("an <image> tag"), [])]
    made = make(tmp_path / "made", model_in(folder), rows)
    (number,) = processor_of(LLAVA.name).image_token_ids
    num_shown = count_of(LLAVA.name, processor_expansions(LLAVA.name, SMALL)[0])
    assert [row["input_ids"].count(number) for row in made.tokens] == [num_shown, 0]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_prompt_to_generate_from_shows_all_images_whatever_is_cut(tmp_path: Path, name: str) -> None:
    messages = (*asked(IMAGE, "a", IMAGE, "What?").messages, *asked("And", IMAGE, answer="A dog.").messages)
    rows = [(Conversation(messages), blank(SMALL, SMALL, (60, 60)))]
    whole = make(tmp_path / "whole", model_of(name), rows, split="eval").tokens[0]
    cut = make(
        tmp_path / "cut", model_of(name), rows, split="eval", tokens={"max_length": len(whole["input_ids"]) - 30}
    ).tokens[0]
    answer = "A dog." + END + "\n"
    assert decoded(FAMILIES[name], whole["input_ids"]) == decoded(FAMILIES[name], whole["prompt_ids"]) + answer
    assert (whole["reference"], cut["prompt_ids"]) == ("A dog.", whole["prompt_ids"])
    assert len(decode_images(cut["prompt_images"])) == len(decode_images(whole["images"])) == 3


def test_an_answer_that_is_an_image_is_not_asked_for(tmp_path: Path) -> None:
    example = Conversation((said("user", "Draw"), said("assistant", IMAGE, "there")))
    rows = [(example, blank(SMALL)), (TextExample("Draw ", "<image> there", True), blank(SMALL))]
    made = make(tmp_path / "made", model_of(LLAVA.name), rows, split="eval")
    assert [(row["prompt_ids"], row["reference"], row["prompt_images"]) for row in made.tokens] == [(None,) * 3] * 2


@pytest.mark.parametrize(("words", "shown"), [("<|image_pad|>", 1), ("<image>", 1), ("<image>x<image>", 2)])
def test_plain_text_holds_the_models_token_or_marks(tmp_path: Path, words: str, shown: int) -> None:
    rows = [(TextExample(f"{words} What? ", "A cat.", True), blank(*[SMALL] * shown))]
    (row,) = make(tmp_path / "made", model_of(QWEN.name), rows, split="eval").tokens
    in_words = words.replace("<image>", QWEN.image)
    assert decoded(QWEN, row["input_ids"]) == f"{in_words} What? A cat.{END}"
    assert decoded(QWEN, row["prompt_ids"]) == f"{in_words} What? "
    assert learned(QWEN, row) == "A cat." + END


@pytest.mark.parametrize(
    ("example", "num_images", "reason"),
    [
        (
            TextExample("", "<image>, <image>", False),
            1,
            "the text has 2 times <|image_pad|> or <image> for 1 images",
        ),
        (TextExample("", "none", False), 1, "the text has 0 times <|image_pad|> or <image> for 1 images"),
        (TextExample("", "<|image_pad|>", False), 0, "the text has 1 times <|image_pad|> or <image> for 0 images"),
        (asked("no part"), 1, "the chat template writes 0 of 1 images"),
        (asked(IMAGE, IMAGE), 1, "the chat template writes 2 of 1 images"),
        (TokenExample((5, 6), (0, 1)), 1, "the row came as token ids, in which its images cannot be placed"),
        (TokenExample((5, 261), (1, 1)), 0, OTHER_IMAGES),
    ],
)
def test_images_and_what_stands_for_them_are_equally_many(
    tmp_path: Path, example: Any, num_images: int, reason: str
) -> None:
    good = asked(IMAGE), blank(SMALL)
    made = make(tmp_path / "made", model_of(QWEN.name), [(example, blank(*[SMALL] * num_images)), good])
    assert reasons(made) == [reason]
    assert [row["row"] for row in made.tokens] == [1]


def test_plain_text_without_images_may_speak_of_marks(tmp_path: Path) -> None:
    (row,) = make(tmp_path / "made", model_of(QWEN.name), [(TextExample("", "an <image> tag", False), [])]).tokens
    assert decoded(QWEN, row["input_ids"]) == "an <image> tag" + END


def test_an_image_that_the_processor_refuses_sends_its_row_away(tmp_path: Path) -> None:
    rows = [(asked(IMAGE), blank((30, 9000))), (asked(IMAGE), blank(SMALL))]
    made = make(tmp_path / "made", model_of(QWEN.name), rows)
    assert reasons(made) == [REFUSED_IMAGES]
    assert [row["row"] for row in made.tokens] == [1]


def test_rows_with_images_have_no_limit_unless_the_recipe_sets_one(tmp_path: Path) -> None:
    rows = [(asked(IMAGE, "a" * 2000), blank(SMALL)), (asked("a" * 2000), [])]
    by_default = make(tmp_path / "a", model_of(QWEN.name), rows, chat={}, tokens={})
    assert [len(row["input_ids"]) > 2000 for row in by_default.tokens] == [True, False]
    assert (by_default.ledger.rows_truncated, by_default.index[0]["tokens_truncated"]) == (1, 0)
    limited = make(tmp_path / "b", model_of(QWEN.name), rows, tokens={"max_length": 500})
    assert [len(row["input_ids"]) for row in limited.tokens] == [500, 500]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("mode", ["keep_start", "keep_end"])
def test_a_cut_takes_an_image_whole_and_its_reference_with_it(tmp_path: Path, name: str, mode: str) -> None:
    """For every length: the row is a beginning (an end) of the whole one, and has the images whose tokens it has."""
    example = Conversation((said("user", IMAGE, "a", IMAGE), said("assistant", "b", IMAGE, "c")))
    images = blank((30, 30), (60, 40), (28, 70))
    whole = make(tmp_path / "whole", model_of(name), [(example, images)]).tokens[0]["input_ids"]
    soft = np.isin(whole, processor_of(name).image_token_ids)
    expansions = processor_expansions(name, *((image.height, image.width) for image in images))
    for limit in range(4, len(whole) + 1):
        config = {"max_length": limit, "truncation_mode": mode}
        made = make(tmp_path / f"{limit}", model_of(name), [(example, images)], tokens=config)
        if not made.tokens:
            assert reasons(made) in ([CUT_TARGETS], [CUT_IMAGES] if name == "llava_onevision" else [])
            continue
        (row,), (entry,) = made.tokens, made.index
        ids = row["input_ids"]
        length = len(ids)
        kept = slice(0, length) if mode == "keep_start" else slice(len(whole) - length, None)
        assert ids == whole[kept]
        assert length <= limit
        num_left = len(decode_images(row["images"]))
        shown = slice(0, num_left) if mode == "keep_start" else slice(3 - num_left, 3)
        assert decode_images(row["images"]) == images[shown]
        assert soft[kept].sum() == sum(count_of(name, expansion) for expansion in expansions[shown])
        alone = [(image.height, image.width) for image in images[shown]]
        assert not alone or processor_expansions(name, *alone) == expansions[shown], "as the batch will show them"
        assert entry["tokens_truncated"] == len(whole) - length == made.ledger.tokens_truncated


def cut(ids: list[int], images: list[int], limit: int, **config: Any) -> Cut:
    rows = MaskedRows.of([ids], [[int(not image) for image in images]])
    rows = MaskedRows(rows.input_ids, rows.loss_mask, rows.offsets, None, np.array(images, np.int32))
    return cut_rows(TokensConfig(**config), rows, np.array([limit]), np.arange(10) == STOP)


def test_the_end_token_comes_back_in_the_place_of_text_and_never_of_an_image() -> None:
    ids, images = [5, 6, 1, 1, 1, 7, STOP], [0, 0, 1, 1, 1, 0, 0]
    restored = cut(ids, images, 4, keep_end_token=True)
    assert (restored.rows[0].input_ids, restored.has_restored_end.tolist()) == ([5, STOP], [True])
    assert (restored.num_tokens.tolist(), cut(ids, images, 5).rows[0].input_ids) == ([5], [5, 6, 1, 1, 1])
    shown = cut(ids, images, 5, keep_end_token=True)
    assert (shown.rows[0].input_ids, shown.has_restored_end.tolist()) == ([5, 6, 1, 1, 1], [False])


RUNS = st.lists(st.tuples(st.booleans(), st.integers(1, 4)), min_size=1, max_size=6)


@given(
    st.lists(st.tuples(RUNS, st.integers(1, 12)), min_size=1, max_size=5), st.sampled_from(["keep_start", "keep_end"])
)
def test_cuts_are_those_of_brute_force(drawn: list[Any], mode: Any) -> None:
    rows, limits = [], []
    for runs, limit in drawn:
        number, images = 0, []
        for is_image, length in runs:
            number += is_image
            images += [number if is_image else 0] * length
        rows.append(images)
        limits.append(limit)
    ids = [list(range(len(images))) for images in rows]
    made = MaskedRows.of(ids, [[1] * len(images) for images in rows])
    every = np.array([number for images in rows for number in images], np.int32)
    made = MaskedRows(made.input_ids, made.loss_mask, made.offsets, None, every)
    found = cut_rows(TokensConfig(truncation_mode=mode), made, np.array(limits), np.arange(99) == 98)
    for at, (images, limit) in enumerate(zip(rows, limits, strict=True)):
        assert found.rows[at].input_ids == brute_force(images, limit, mode == "keep_end")


def brute_force(images: list[int], limit: int, keeps_end: bool) -> list[int]:
    """The longest part that fits and has no image in part."""
    places = list(range(len(images)))
    for length in range(min(limit, len(images)), -1, -1):
        cut_at = len(places) - length if keeps_end else length
        first, second = places[:cut_at], places[cut_at:]
        kept, gone = (second, first) if keeps_end else (first, second)
        if not {images[at] for at in kept} & {images[at] for at in gone} - {0}:
            return kept
    raise AssertionError


def test_weights_stay_with_their_words(tmp_path: Path) -> None:
    first, second = asked("a", IMAGE, answer="bc").messages, asked("d", answer="e").messages
    example = Conversation((first[0], {**first[1], "weight": 0.5}, *second))
    (row,) = make(tmp_path / "made", model_of(LLAVA.name), [(example, blank(SMALL))]).tokens
    weights = [weight for weight in row["loss_weights"] if weight]
    assert weights == [0.5, 0.5, 0.5, 1, 1]
    assert learned(LLAVA, row) == f"bc{END}e{END}"
    assert orjson.loads(row["images"])[0]["width"] == 40


def test_an_image_in_a_weighted_turn_has_no_weight(tmp_path: Path) -> None:
    example = Conversation((said("user", "a"), {**said("assistant", "b", IMAGE, "c"), "weight": 0.5}))
    (row,) = make(tmp_path / "made", model_of(LLAVA.name), [(example, blank(SMALL))]).tokens
    assert learned(LLAVA, row) == "bc" + END
    assert [weight for weight in row["loss_weights"] if weight] == [0.5, 0.5, 0.5]


def test_a_cut_takes_an_image_of_plain_text_whole(tmp_path: Path) -> None:
    rows = [(TextExample("", "ab<image>cd", False), blank(SMALL))]
    whole = make(tmp_path / "whole", model_of(LLAVA.name), rows).tokens[0]["input_ids"]
    (cut_row,) = make(tmp_path / "cut", model_of(LLAVA.name), rows, tokens={"max_length": len(whole) - 4}).tokens
    assert (cut_row["input_ids"], cut_row["images"]) == (whole[:2], None)
