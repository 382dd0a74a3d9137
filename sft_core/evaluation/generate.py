"""Answer prompts in batches: sorted by length so that little is padded, returned in the order in which they came."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@torch.no_grad()
def generate(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[Sequence[int]],
    batch_size: int,
    gen_kwargs: dict[str, Any],
) -> list[str]:
    """Generate one answer per prompt.

    Args:
        model: In evaluation mode.
        tokenizer: Decodes the answers.
        prompts: [prompts] token ids.
        batch_size: Prompts at a time.
        gen_kwargs: Arguments of `model.generate`.

    Returns:
        [prompts] texts without special tokens, in the order of the prompts.
    """
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    outputs = [""] * len(prompts)
    for start in range(0, len(order), batch_size):
        indices = order[start : start + batch_size]
        ids, attention_mask = _left_padded([prompts[index] for index in indices], model.config.pad_token_id)
        generated = model.generate(ids.to(model.device), attention_mask=attention_mask.to(model.device), **gen_kwargs)
        texts = tokenizer.batch_decode(generated[:, ids.shape[1] :], skip_special_tokens=True)
        for index, text in zip(indices, texts, strict=True):
            outputs[index] = text
    return outputs


def _left_padded(prompts: Sequence[Sequence[int]], pad_token_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask, each [prompts, longest]; what is padding is told by the mask, never by the id."""
    width = max(len(prompt) for prompt in prompts)
    ids = [[pad_token_id] * (width - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids), torch.tensor(mask)
