"""Generate answers in batches, sorted by length to reduce padding, and return them in the order of the prompts."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from sft_core.evaluation.answering.text_metrics import cut_at

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

InputsOf = Callable[[Sequence[int], torch.Tensor], Mapping[str, torch.Tensor]]
"""Function of the indices of prompts, and of their ids [prompts, tokens] with padding on the left, that returns further
model inputs by name."""


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
        model: The model, in evaluation mode.
        tokenizer: Tokenizer that decodes the answers.
        prompts: [prompts] token ids, at least one per prompt.
        batch_size: Number of prompts in a batch.
        gen_kwargs: Arguments of `model.generate`.
        stop_sequences: Texts that end an answer, and are removed.
        synced_gpus: True if every process must run as many steps as the slowest one, as is needed if the weights are
            sharded over processes. None: transformers decides.
        on_answered: Callback that gets the number of prompts of each finished batch.
        shown_with: Function that makes model inputs other than ids; None if there are no others.

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
    """Stopping criterion that ends an answer as soon as it contains one of several texts.

    transformers' own `stop_strings` also searches the prompt (a prompt that ends with a line break and an answer that
    begins with one would together match a stop sequence of two), and does not work with every tokenizer.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", stop_sequences: Sequence[str], prompt_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._stop_sequences = stop_sequences
        self._prompt_tokens = prompt_tokens
        # a token has at least one byte; the first tokens of a tail may be decoded differently without their context
        self._tail_tokens = max(len(stop.encode()) for stop in stop_sequences) + 8

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Return [answers] True for each answer that is complete."""
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
    """Return an id for padding: any id that has an embedding and is not of an image token.

    A vision-language model names its padding id in the configuration of its text part.
    """
    ids = (model.config.get_text_config().pad_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(token for token in ids if token is not None)


def _left_padded(prompts: Sequence[Sequence[int]], pad_token_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and attention mask, each [prompts, longest]. Only the mask shows which tokens are padding."""
    width = max(len(prompt) for prompt in prompts)
    ids = [[pad_token_id] * (width - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids), torch.tensor(mask)
