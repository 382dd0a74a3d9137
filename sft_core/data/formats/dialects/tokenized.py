"""Rows that are already tokenized: `input_ids`, and columns that mark which of them are targets of the loss.

    input_ids        5    6    7    8    0
    attention_mask   1    1    1    1    0     padding: cut off at both ends
    completion_mask  0    0    1    1    0     1: a target; `assistant_masks` likewise
    labels        -100 -100    7    8 -100     the token itself, or -100
    loss_mask        0    0    1    1          the result: 1 where all given columns mark a target

Every mask that is present counts (TRL ignores masks if there are labels, and the completion mask by default). Without
any of them all tokens are targets. A label is at the position of its own token; the loss shifts labels.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sft_core.data.formats.dialects.dialect import Dialect, Fields, kind_of
from sft_core.data.formats.rejection import RowRejectedError
from sft_core.store.records import IGNORED_LABEL, TokenExample

MAX_TOKEN_ID = 2**31 - 1
MASKS = ("completion_mask", "assistant_masks")

Mask = NDArray[np.bool_]
"""[tokens] True for the tokens that the mask includes."""


def _convert(fields: Fields) -> TokenExample:
    ids = _whole_numbers(fields["input_ids"], "input_ids")
    if not ids:
        raise RowRejectedError("`input_ids` is empty")
    if min(ids) < 0 or max(ids) > MAX_TOKEN_ID:
        raise RowRejectedError("`input_ids` has an id that is negative or above 2^31 - 1")
    is_target = np.ones(len(ids), dtype=np.bool_)
    for column in MASKS:
        if column in fields:
            is_target &= _mask(fields, column, len(ids))
    if "labels" in fields:
        is_target &= _is_labelled(_whole_numbers(fields["labels"], "labels"), ids)
    start, end = _without_padding(fields, len(ids))
    return TokenExample(tuple(ids[start:end]), tuple(is_target[start:end].astype(np.uint8).tolist()))


def _whole_numbers(value: Any, column: str) -> list[int]:
    if not isinstance(value, list):
        raise RowRejectedError(f"`{column}` is {kind_of(value)}, not a list of whole numbers")
    if not set(map(type, value)) <= {int}:
        raise RowRejectedError(f"`{column}` holds something that is not a whole number")
    return value


def _mask(fields: Fields, column: str, num_tokens: int) -> Mask:
    mask = fields[column]
    if not isinstance(mask, list) or not set(map(type, mask)) <= {int, bool} or not set(mask) <= {0, 1}:
        raise RowRejectedError(f"`{column}` is not a list of 0 and 1")
    _check_length(column, mask, num_tokens)
    return np.asarray(mask, dtype=np.bool_)


def _check_length(column: str, values: list[int], num_tokens: int) -> None:
    if len(values) != num_tokens:
        raise RowRejectedError(f"`{column}` has another length than `input_ids`")


def _is_labelled(labels: list[int], ids: list[int]) -> Mask:
    _check_length("labels", labels, len(ids))
    if min(labels) >= IGNORED_LABEL and max(labels) <= MAX_TOKEN_ID:
        label, token = np.asarray(labels), np.asarray(ids)
        is_labelled: Mask = label != IGNORED_LABEL
        if not (is_labelled & (label != token)).any():
            return is_labelled
        if not (is_labelled[:-1] & (label[:-1] != token[1:])).any():
            raise RowRejectedError("`labels` are shifted by one already; expected each in the place of its own token")
    raise RowRejectedError("`labels` differ from `input_ids` where they are not -100")


def _without_padding(fields: Fields, num_tokens: int) -> tuple[int, int]:
    """Return where the tokens without padding begin and end; padding inside would change every later position."""
    if "attention_mask" not in fields:
        return 0, num_tokens
    places = np.flatnonzero(_mask(fields, "attention_mask", num_tokens))
    if not len(places):
        raise RowRejectedError("`attention_mask` leaves no token")
    start, end = int(places[0]), int(places[-1]) + 1
    if len(places) != end - start:
        raise RowRejectedError("`attention_mask` has a hole")
    return start, end


TOKENIZED = Dialect("tokenized", "token ids: `input_ids`, perhaps `labels` or masks", (("input_ids",),), _convert)
