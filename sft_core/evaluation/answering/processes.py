"""Work shared by the processes of a training, where there are several."""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import distributed

from sft_core.errors import UserError

Result = TypeVar("Result")


def rank_and_count() -> tuple[int, int]:
    """This process's number, and how many there are."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def share_of(items: list[int], rank: int, count: int) -> list[int]:
    """Every `count`-th item from the `rank`-th on; where they do not come out even the last one is there again, so that
    all processes have the same number."""
    even = items + items[-1:] * (-len(items) % count)
    return even[rank::count]


def gathered(item: Result) -> list[Result]:
    """What each process has, in order, on all of them."""
    _, count = rank_and_count()
    if count == 1:
        return [item]
    items: list[Any] = [None] * count
    distributed.all_gather_object(items, item)
    return items


def on_first(work: Callable[[], Result]) -> Result:
    """Let the first process do something, and tell all of them what came of it.

    Raises:
        UserError: on all of them, if the work raised one.
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
