"""Checks that embeddings fit the tokenizer, and embeddings for tokens that a recipe adds.

A new row is initialized with the mean of the old rows, in the input embeddings and in the output projection. So a new
token is as likely as an average one, and every run starts with the same values. Many models have spare rows, so that
the matrices need not grow.
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
    """Add embeddings for the recipe's new tokens.

    Args:
        model: The model, changed in place.
        tokenizer: The tokenizer, which has the new tokens already.
        new_tokens: The tokens that the recipe added to it.
        are_rows_drawn: Whether all embeddings, including those of new tokens, were drawn at random for this run; they
            are then left unchanged.

    Raises:
        RecipeError: if the tokenizer has more ids than the model has embeddings, even without the new tokens.
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
    """Return the ids of the new tokens."""
    return list(tokenizer.convert_tokens_to_ids(list(new_tokens)))


@torch.no_grad()
def _begin_as_mean(model: PreTrainedModel, ids: list[int], num_old_ids: int) -> None:
    """Set rows of both matrices, and of the projection's bias, to the mean over all ids in use, without spare rows."""
    head = model.get_output_embeddings()
    matrices = [model.get_input_embeddings().weight, *([] if head is None else [head.weight, head.bias])]
    for matrix in matrices:
        if matrix is not None:
            matrix[ids] = matrix[:num_old_ids].double().mean(0).to(matrix.dtype)
