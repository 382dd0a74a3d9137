"""Data loaders that give each process its batches, in the order that `order` defines."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from sft_core.modeling import NO_BLOCK
from sft_core.training.order import Batches, batches_per_epoch, blocks_of_epoch, deal


class EpochBatches(Sampler[list[int]]):
    """Batch sampler that yields the block numbers of each batch of the current epoch."""

    def __init__(self, batches_of: Callable[[int], Batches], num_batches: int) -> None:
        """Use a function that returns the batches of an epoch.

        Args:
            batches_of: Maps an epoch, from 0, to its batches. A batch without blocks is replaced by `[NO_BLOCK]`, a
                block of no tokens.
            num_batches: Number of batches in every epoch.
        """
        self._batches_of = batches_of
        self._num_batches = num_batches
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next pass over the data."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._batches_of(self._epoch):
            yield batch or [NO_BLOCK]

    def __len__(self) -> int:
        return self._num_batches


class BlockLoader(DataLoader[Any]):
    """Data loader whose epoch the Trainer sets with `set_epoch`.

    It has a random generator of its own and does not advance the one of dropout, so that neither loading nor evaluation
    changes the training.
    """

    def __init__(self, blocks: Any, batches: EpochBatches, args: Any, collate: Callable[..., Any]) -> None:
        self._batches = batches
        has_workers = args.dataloader_num_workers > 0
        super().__init__(
            blocks,
            batch_sampler=batches,
            collate_fn=collate,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor if has_workers else None,
            multiprocessing_context=args.dataloader_multiprocessing_context if has_workers else None,
            generator=torch.Generator(),
        )

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next pass over the data."""
        self._batches.set_epoch(epoch)


def train_loader(args: Any, blocks: Any, collate: Callable[..., Any]) -> BlockLoader:
    """Return a loader of this process's share of the train split.

    Args:
        args: `TrainingArguments`, whose fields have the same names as those of the recipe that `order` reads.
        blocks: The train split. Its method `lengths()` is called with `group_by_length`.
        collate: Makes a batch of blocks.
    """

    def batches_of(epoch: int) -> Batches:
        line = blocks_of_epoch(args, len(blocks), args.world_size, epoch, lambda: blocks.lengths())
        return deal(line, args.per_device_train_batch_size, args.world_size, args.process_index)

    num_batches = batches_per_epoch(args, len(blocks), args.world_size)
    return BlockLoader(blocks, EpochBatches(batches_of, num_batches), args, collate)


def eval_loader(args: Any, blocks: Any, collate: Callable[..., Any]) -> BlockLoader:
    """Return a loader of this process's share of the held-out split. Over all processes, each block is loaded once.

    Args:
        args: `TrainingArguments`.
        blocks: The held-out split.
        collate: Makes a batch of blocks.
    """
    mine = deal(range(len(blocks)), args.per_device_eval_batch_size, args.world_size, args.process_index)
    return BlockLoader(blocks, EpochBatches(lambda _: mine, len(mine)), args, collate)
