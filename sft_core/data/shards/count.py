"""Counts that are kept while blocks are written: tokens, targets, and a digest of everything."""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from sft_core.data.shards.blocks import Batch
from sft_core.store.fingerprint import KEY_HEX_DIGITS
from sft_core.store.ragged import offsets_of

HASHED = (
    "input_ids",
    "loss_mask",
    "sequences_per_block",
    "sequence_tokens",
    "loss_weights",
    "images",
    "image_bytes",
)


class BlockCounts:
    """Sums and digests over the batches so far. Each column has a digest of its own, so the result does not depend on
    where batches and files begin and end."""

    def __init__(self) -> None:
        self.tokens = 0
        self.targets = 0
        self.targets_lost_to_splitting = 0
        self.id_sum = 0
        self._hashers = {name: _new() for name in HASHED}

    @property
    def digest(self) -> str:
        """Digest of everything added so far."""
        whole = _new()
        for hasher in self._hashers.values():
            whole.update(hasher.digest())
        return whole.hexdigest()

    def add(self, batch: Batch) -> None:
        """Add a batch to the counts."""
        plan, values = batch.plan, batch.values
        mask = values["loss_mask"]
        first_of_sequence = offsets_of(plan.sequence_tokens)[:-1]
        is_cut = plan.start[plan.block_offsets[:-1]] > 0 if plan.is_one_sequence else plan.start > 0
        self.tokens += len(mask)
        self.targets += int(np.count_nonzero(mask)) - int(np.count_nonzero(mask[first_of_sequence]))
        self.targets_lost_to_splitting += int(np.count_nonzero(mask[first_of_sequence[is_cut]]))
        self.id_sum += int(values["input_ids"].sum(dtype=np.int64))
        parts: dict[str, npt.NDArray[Any]] = {
            **values,
            "sequences_per_block": plan.sequences_per_block,
            "sequence_tokens": plan.sequence_tokens,
        }
        if batch.columns.image_bytes is not None:
            parts["image_bytes"] = batch.columns.image_bytes[plan.row]
        for name, part in parts.items():
            self._hashers[name].update(np.ascontiguousarray(part).data)


def _new() -> "hashlib.blake2b":
    return hashlib.blake2b(digest_size=KEY_HEX_DIGITS // 2)
