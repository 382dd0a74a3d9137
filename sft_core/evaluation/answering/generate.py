"""Answer prompts in batches: sorted by length so that little is padded, returned in the order in which they came."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from sft_core.evaluation.answering.text_metrics import cut_at

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

InputsOf = Callable[[Sequence[int], torch.Tensor], Mapping[str, torch.Tensor]]
"""Takes numbers of prompts, and their ids [prompts, tokens] with padding on the left; returns further inputs."""


@torch.no_grad()
def generate(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[Sequence[int]],
    batch_size: int,
    gen_kwargs: dict[str, Any],
    stop_sequences: Sequence[str] = (),
    synced_gpus: bool | None = None,
    on_answered: Callable[[int], None] = lambda _: None,
    shown_with: InputsOf | None = None,
) -> list[str]:
    """Generate one answer per prompt.

    Args:
        model: In evaluation mode.
        tokenizer: Decodes the answers.
        prompts: [prompts] token ids, each at least one.
        batch_size: Prompts at a time.
        gen_kwargs: Arguments of `model.generate`.
        stop_sequences: Texts that end an answer, and are cut off.
        synced_gpus: Whether every process runs as many steps as the slowest, as a model needs whose weights are spread
            over processes. None: as transformers finds it.
        on_answered: Told after each batch how many prompts were in it.
        shown_with: Makes what the model takes beside ids; None: it takes nothing else.

    Returns:
        [prompts] texts without special tokens, in the order of the prompts.
    """
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    outputs = [""] * len(prompts)
    for start in range(0, len(order), batch_size):
        indices = order[start : start + batch_size]
        ids, attention_mask = _left_padded([prompts[index] for index in indices], _padding_id(model, tokenizer))
        stops = [StopAtText(tokenizer, stop_sequences, ids.shape[1])] if stop_sequences else []
        inputs = {"attention_mask": attention_mask, **(shown_with(indices, ids) if shown_with else {})}
        generated = model.generate(
            ids.to(model.device),
            **{name: value.to(model.device) for name, value in inputs.items()},
            stopping_criteria=StoppingCriteriaList(stops),
            synced_gpus=synced_gpus,
            **{"use_cache": True, **gen_kwargs},
        )
        texts = tokenizer.batch_decode(generated[:, ids.shape[1] :], skip_special_tokens=True)
        for index, text in zip(indices, texts, strict=True):
            outputs[index] = cut_at(text, stop_sequences)
        on_answered(len(indices))
    return outputs


class StopAtText(StoppingCriteria):
    """Ends an answer as soon as a text stands in it.

    transformers' own `stop_strings` looks at the prompt as well (one that ends with a line break, and an answer that
    begins with one, would make up a stop sequence of two), and does not work with every tokenizer.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", stop_sequences: Sequence[str], prompt_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._stop_sequences = stop_sequences
        self._prompt_tokens = prompt_tokens
        # a token is a byte at least, and the first ones of a tail may decode otherwise than in their place
        self._tail_tokens = max(len(stop.encode()) for stop in stop_sequences) + 8

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Return [answers] whether each is done."""
        answers = input_ids[:, self._prompt_tokens :]
        tails = self._decode(answers[:, -self._tail_tokens :])
        is_done = [
            self._stops(tail) and self._stops(self._decode(answer[None])[0])
            for tail, answer in zip(tails, answers, strict=True)
        ]
        return torch.tensor(is_done, device=input_ids.device)

    def _decode(self, ids: torch.Tensor) -> list[str]:
        return list(self._tokenizer.batch_decode(ids, skip_special_tokens=True))

    def _stops(self, text: str) -> bool:
        return any(stop in text for stop in self._stop_sequences)


def _padding_id(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> int:
    """Any will do that has an embedding and stands for no image; a model with images has it in the part that reads
    text."""
    ids = (model.config.get_text_config().pad_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(token for token in ids if token is not None)


def _left_padded(prompts: Sequence[Sequence[int]], pad_token_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask, each [prompts, longest]; what is padding is told by the mask, never by the id."""
    width = max(len(prompt) for prompt in prompts)
    ids = [[pad_token_id] * (width - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids), torch.tensor(mask)
