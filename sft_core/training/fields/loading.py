"""In which order the blocks come, and how they get to the device."""

from typing import Literal, Self

from pydantic import Field, model_validator

from sft_core.section import Section


class LoadingFields(Section):
    """Order and loading of the data."""

    data_seed: int | None = Field(default=None, ge=0, lt=2**32)
    """Of the order of the data; None: as `seed`."""
    train_sampling_strategy: Literal["random", "sequential", "group_by_length"] = "random"
    """Order of the blocks in an epoch: drawn from the seed; as they are stored; or drawn and then sorted by length a
    few steps at a time, so that batches have little padding. (transformers' `batch_rebalance` is not needed where
    `packing` makes blocks as long as each other.)"""
    padding_free: bool | None = None
    """Put the documents of a batch one after the other into one row, without padding. None: where the attention is one
    of variable length (`model.attn_implementation`), which needs no mask for that."""
    dataloader_drop_last: bool = False
    """Leave out the last blocks of an epoch where they do not fill a step."""
    dataloader_num_workers: int = Field(default=0, ge=0)
    """Processes that load batches ahead; 0: the trainer loads them itself."""
    dataloader_pin_memory: bool = True
    """Put batches into memory from which a GPU copies faster. Without a GPU nothing is pinned."""
    dataloader_persistent_workers: bool = False
    """Keep the loading processes from one epoch to the next."""
    dataloader_prefetch_factor: int | None = Field(default=None, ge=1)
    """Batches that each loading process has ready; None: 2."""
    dataloader_multiprocessing_context: Literal["fork", "spawn", "forkserver"] | None = None
    """How loading processes are started; None: as Python does."""

    @model_validator(mode="after")
    def _loading_fits_together(self) -> Self:
        if self.dataloader_num_workers > 0:
            return self
        options = ("dataloader_persistent_workers", "dataloader_prefetch_factor", "dataloader_multiprocessing_context")
        given = [name for name in options if getattr(self, name)]
        if given:
            raise ValueError(f"`{given[0]}` needs loading processes: set `dataloader_num_workers`")
        return self
