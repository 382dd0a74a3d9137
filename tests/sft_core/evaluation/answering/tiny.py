"""A model of some thousand weights whose tokens are words, and prompts for it."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from sft_core.evaluation.answering import AnsweringConfig, Prompts, Scoring
from sft_core.evaluation.answering.answer import Answering

VOCABULARY = 24
RAGGED = [[2, 3, 4, 5, 6], [7], [8, 9], [10, 11, 12], [2, 2], [3]]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    words = {"<pad>": 0, "<eos>": 1, **{f"w{i}": i for i in range(2, VOCABULARY)}}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<eos>")), pad_token="<pad>", eos_token="<eos>"
    )


def tiny_model(**config: Any) -> LlamaForCausalLM:
    set_seed(3)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=VOCABULARY, pad_token_id=0, eos_token_id=1, **{**sizes, **config})
    ).eval()


def prompts(ids: list[list[int]] = RAGGED, references: list[str] | None = None) -> Prompts:
    numbers = list(range(len(ids)))
    return Prompts(
        source=["s"] * len(ids),
        row=[10 + number for number in numbers],
        prompt_ids=ids,
        reference=references or [f"w{number}" for number in numbers],
        metadata=[{"level": number} if number else {} for number in numbers],
        images=[[] for _ in numbers],
    )


def answering(scoring: Scoring | None = None, asked: Prompts | None = None, **config: Any) -> Answering:
    return Answering(AnsweringConfig(**config), scoring or Scoring(), asked or prompts(), tiny_tokenizer())


def write_module(folder: Path, text: str) -> str:
    """Write a module with the function `score`, and return its path in a recipe's words."""
    path = folder / "my_metrics.py"
    path.write_text(text, encoding="utf-8")
    return f"{path}:score"
