"""The batches of one process, in the order that `order` names."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from sft_core.modeling import NO_BLOCK
from sft_core.training.order import Batches, batches_per_epoch, blocks_of_epoch, deal


class EpochBatches(Sampler[list[int]]):
    """Block numbers of each batch; those of the epoch that was set last."""

    def __init__(self, batches_of: Callable[[int], Batches], num_batches: int) -> None:
        """Take the batches of an epoch from a function.

        Args:
            batches_of: Epoch, from 0, to batches; one without blocks is given a block of no tokens.
            num_batches: Of every epoch.
        """
        self._batches_of = batches_of
        self._num_batches = num_batches
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next pass is of."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._batches_of(self._epoch):
            yield batch or [NO_BLOCK]

    def __len__(self) -> int:
        return self._num_batches


class BlockLoader(DataLoader[Any]):
    """A loader that the Trainer can tell the epoch.

    It draws nothing from the generator that dropout draws from, so that neither loading nor evaluating changes what is
    trained.
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
        """Choose the epoch that the next pass is of."""
        self._batches.set_epoch(epoch)


def train_loader(args: Any, blocks: Any, collate: Callable[..., Any]) -> BlockLoader:
    """Load this process's share of the train split.

    Args:
        args: `TrainingArguments`; its fields have the names that `order` reads in the recipe's section.
        blocks: The train split; `lengths()` is called with `group_by_length`.
        collate: Blocks to a batch.
    """

    def batches_of(epoch: int) -> Batches:
        line = blocks_of_epoch(args, len(blocks), args.world_size, epoch, lambda: blocks.lengths())
        return deal(line, args.per_device_train_batch_size, args.world_size, args.process_index)

    num_batches = batches_per_epoch(args, len(blocks), args.world_size)
    return BlockLoader(blocks, EpochBatches(batches_of, num_batches), args, collate)


def eval_loader(args: Any, blocks: Any, collate: Callable[..., Any]) -> BlockLoader:
    """Load this process's share of the held-out split: over all processes, each block once.

    Args:
        args: `TrainingArguments`.
        blocks: The held-out split.
        collate: Blocks to a batch.
    """
    mine = deal(range(len(blocks)), args.per_device_eval_batch_size, args.world_size, args.process_index)
    return BlockLoader(blocks, EpochBatches(lambda _: mine, len(mine)), args, collate)
