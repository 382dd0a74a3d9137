"""Tiny models and a tokenizer, made in-process."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from sft_core.pretrained.model import ModelRef

VOCABULARY = 48
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": VOCABULARY,
}
GPT2: dict[str, Any] = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": VOCABULARY}


def tiny_model(config: dict[str, Any] = LLAMA, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A model with random weights."""
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(**{**config, **changes}))


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Words w2 … w47, and two special tokens."""
    words = {"<pad>": 0, "<eos>": 1, **{f"w{i}": i for i in range(2, VOCABULARY)}}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<eos>")), pad_token="<pad>", eos_token="<eos>"
    )


def random_ref(**changes: Any) -> ModelRef:
    """Random weights, drawn when they are loaded."""
    fields: dict[str, Any] = {
        "path": None,
        "commit": None,
        "init": "config",
        "config": LLAMA,
        "dtype": "float32",
        "attn_implementation": "sdpa",
        "trust_remote_code": False,
        "content_digest": "x",
    }
    return ModelRef(**{**fields, **changes})


def saved_ref(folder: Path, model: PreTrainedModel, **changes: Any) -> ModelRef:
    """The weights of a model, in a folder."""
    model.save_pretrained(folder)
    return random_ref(**{"path": str(folder), "init": "pretrained", "config": {}, **changes})


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and positions [2, 9]."""
    generator = torch.Generator().manual_seed(5)
    return torch.randint(2, VOCABULARY, (2, 9), generator=generator), torch.arange(9)[None].expand(2, -1)


@torch.no_grad()
def logits_of(model: Any) -> torch.Tensor:
    """[2, 9, vocabulary] in evaluation mode."""
    ids, positions = rows()
    result: torch.Tensor = model.eval()(input_ids=ids, position_ids=positions, use_cache=False).logits
    return result
