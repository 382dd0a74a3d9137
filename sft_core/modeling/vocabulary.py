"""Embeddings and tokenizer have to belong together, and tokens that a recipe adds need a row of their own.

A new row begins as the mean of the old ones, in the input embeddings and in the projection to the vocabulary: such a
token is as likely as the average one, and every run begins with the same. Many models have spare rows, so that nothing
has to grow.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from transformers import PreTrainedModel

from sft_core.errors import RecipeError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def fit_vocabulary(
    model: PreTrainedModel, tokenizer: "PreTrainedTokenizerBase", new_tokens: Sequence[str], are_rows_drawn: bool
) -> None:
    """Give the recipe's new tokens embeddings.

    Args:
        model: Changed in place.
        tokenizer: With the new tokens.
        new_tokens: Those that the recipe added to it.
        are_rows_drawn: Whether all embeddings were drawn at random for this run, new tokens' rows among them: these
            stay as they are.

    Raises:
        RecipeError: if even without the new tokens the tokenizer has more ids than the model has embeddings.
    """
    num_embeddings = model.get_input_embeddings().weight.shape[0]
    num_old_ids = len(tokenizer) - len(new_tokens)
    if num_old_ids > num_embeddings or (are_rows_drawn and len(tokenizer) > num_embeddings):
        raise RecipeError(
            f"model: {num_embeddings} embeddings are too few for the tokenizer's {len(tokenizer)} ids; they do not "
            "belong together"
        )
    if not new_tokens or are_rows_drawn:
        return
    if len(tokenizer) > num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    _begin_as_mean(model, new_ids(tokenizer, new_tokens), num_old_ids)


def new_ids(tokenizer: "PreTrainedTokenizerBase", new_tokens: Sequence[str]) -> list[int]:
    """The ids [new tokens] of tokens."""
    return list(tokenizer.convert_tokens_to_ids(list(new_tokens)))


@torch.no_grad()
def _begin_as_mean(model: PreTrainedModel, ids: list[int], num_old_ids: int) -> None:
    """Set rows of both matrices, and of the projection's bias; the mean is taken over ids in use, not over spare
    rows."""
    head = model.get_output_embeddings()
    matrices = [model.get_input_embeddings().weight, *([] if head is None else [head.weight, head.bias])]
    for matrix in matrices:
        if matrix is not None:
            matrix[ids] = matrix[:num_old_ids].double().mean(0).to(matrix.dtype)
