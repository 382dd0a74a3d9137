"""Division of work among the processes of a training, if there are several."""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import distributed

from sft_core.errors import UserError

Result = TypeVar("Result")


def rank_and_count() -> tuple[int, int]:
    """Return the rank of this process and the world size; (0, 1) without `torch.distributed`."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def share_of(items: list[int], rank: int, count: int) -> list[int]:
    """Return every `count`-th item, beginning at `rank`.

    If the items cannot be divided evenly, the last one is repeated, so that all processes have the same number.
    """
    even = items + items[-1:] * (-len(items) % count)
    return even[rank::count]


def gathered(item: Result) -> list[Result]:
    """Gather one item of each process, in the order of ranks, on all processes."""
    _, count = rank_and_count()
    if count == 1:
        return [item]
    items: list[Any] = [None] * count
    distributed.all_gather_object(items, item)
    return items


def on_first(work: Callable[[], Result]) -> Result:
    """Run a function on the first process, and broadcast the result to all processes.

    Raises:
        UserError: on all processes, if the function raises one.
    """
    rank, count = rank_and_count()
    if count == 1:
        return work()
    outcome: list[Any] = [None]
    if rank == 0:
        try:
            outcome = [work()]
        except UserError as error:
            outcome = [error]
    distributed.broadcast_object_list(outcome, src=0)
    if isinstance(outcome[0], UserError):
        raise outcome[0]
    return outcome[0]  # type: ignore[no-any-return]
