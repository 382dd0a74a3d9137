"""The quickstart's data: made again byte for byte, every row as the docs describe it, and a recipe that finds it."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from sft_core.recipe.recipe_file import load_recipe

PROJECT = Path(__file__).parents[2]
COMMITTED = PROJECT / "recipes" / "quickstart"


@pytest.fixture(scope="module")
def chats() -> list[list[dict[str, str]]]:
    lines = (COMMITTED / "chats.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["messages"] for line in lines]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(COMMITTED / "tokenizer")


def test_making_it_again_gives_the_committed_bytes(tmp_path: Path) -> None:
    """If it fails after a change of the generator: `python recipes/make_quickstart.py`, and commit what it writes."""
    subprocess.run([sys.executable, PROJECT / "recipes" / "make_quickstart.py", tmp_path], check=True, timeout=300)
    assert bytes_by_name(tmp_path) == bytes_by_name(COMMITTED)


def bytes_by_name(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_every_row_is_one_question_and_one_answer(chats) -> None:
    assert all([message["role"] for message in chat] == ["user", "assistant"] for chat in chats)
    assert all(question["content"].endswith(("?", ".")) for question, _ in chats)
    assert all(answer["content"].endswith(".") for _, answer in chats)
    assert not any(set("{}") & set(message["content"]) for chat in chats for message in chat)


def test_no_prompt_stands_twice(chats) -> None:
    assert len({question["content"] for question, _ in chats}) == len(chats) == 2880


def test_each_of_240_facts_is_asked_in_twelve_ways(chats) -> None:
    asked = Counter(answer["content"] for _, answer in chats)
    assert len(asked) == 48 * 5
    assert set(asked.values()) == {12}


def test_the_tokenizer_has_what_training_and_generation_need(tokenizer) -> None:
    assert tokenizer.is_fast
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (None, "<|im_end|>", "<|pad|>")
    assert len(tokenizer) <= 1024


def test_any_text_survives_the_tokenizer(tokenizer) -> None:
    text = "Grüße from  Velora,\n🐢 and naïve <tags>!"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_template_marks_the_answer_and_its_end(chats, tokenizer) -> None:
    encoded = tokenizer.apply_chat_template(chats[0], return_dict=True, return_assistant_tokens_mask=True)
    marked = [token for token, mask in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mask]
    assert tokenizer.decode(marked) == chats[0][1]["content"] + "<|im_end|>"


def test_the_recipe_loads_and_finds_its_files() -> None:
    recipe = load_recipe(PROJECT / "recipes" / "quickstart.yaml")
    assert PROJECT / recipe.sources[0].path == COMMITTED / "chats.jsonl"
    assert PROJECT / recipe.model.tokenizer_path == COMMITTED / "tokenizer"
    assert recipe.registry.gate.metric == "exact_match"


def test_nothing_is_cut_and_every_answer_fits(chats, tokenizer) -> None:
    recipe = load_recipe(PROJECT / "recipes" / "quickstart.yaml")
    rows = [tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"] for chat in chats]
    answers = [tokenizer.encode(answer["content"]) for _, answer in chats]
    assert recipe.tokens.max_length is not None
    assert max(map(len, rows)) <= recipe.tokens.max_length
    assert max(map(len, answers)) < recipe.evaluation.gen_kwargs["max_new_tokens"]
