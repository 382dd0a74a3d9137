"""Fields that set the order of the blocks and how they are loaded onto the device."""

from typing import Literal, Self

from pydantic import Field, model_validator

from sft_core.section import Section


class LoadingFields(Section):
    """Fields for the order and the loading of the data."""

    data_seed: int | None = Field(default=None, ge=0, lt=2**32)
    """Seed for the order of the data. None: `seed`."""
    train_sampling_strategy: Literal["random", "sequential", "group_by_length"] = "random"
    """Order of the blocks in an epoch. `random`: shuffled with the seed; `sequential`: as stored; `group_by_length`:
    shuffled, then sorted by length a few steps at a time, so that batches have little padding. (transformers'
    `batch_rebalance` is not offered: `packing` already makes blocks about equally long.)"""
    padding_free: bool | None = None
    """Flatten the documents of a batch into one row without padding. None: true if the attention implementation
    supports variable lengths (`model.attn_implementation`) and so needs no mask for that, else false."""
    dataloader_drop_last: bool = False
    """Drop the last blocks of an epoch if they do not fill an optimizer step."""
    dataloader_num_workers: int = Field(default=0, ge=0)
    """Number of worker processes that load batches ahead. 0: the trainer process loads them itself."""
    dataloader_pin_memory: bool = True
    """Load batches into pinned memory, from which a GPU copies faster. Ignored without a GPU."""
    dataloader_persistent_workers: bool = False
    """Keep the worker processes alive between epochs."""
    dataloader_prefetch_factor: int | None = Field(default=None, ge=1)
    """Number of batches that each worker process loads ahead. None: 2."""
    dataloader_multiprocessing_context: Literal["fork", "spawn", "forkserver"] | None = None
    """Start method of the worker processes. None: Python's default."""

    @model_validator(mode="after")
    def _loading_fits_together(self) -> Self:
        if self.dataloader_num_workers > 0:
            return self
        options = ("dataloader_persistent_workers", "dataloader_prefetch_factor", "dataloader_multiprocessing_context")
        given = [name for name in options if getattr(self, name)]
        if given:
            raise ValueError(f"`{given[0]}` needs worker processes: set `dataloader_num_workers`")
        return self
