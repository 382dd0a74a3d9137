"""What is run in full size only, which is with SFT_TEST_FULL=1, as `make test-full` sets it."""

import itertools
import os
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

Cell = TypeVar("Cell")
IS_FULL = os.environ.get("SFT_TEST_FULL") == "1"


def covering(cells: Iterable[Cell], axes: Callable[[Cell], tuple[Hashable, ...]]) -> list[Cell]:
    """Choose cells of a matrix in which every two values meet that meet in any cell; all cells in full size.

    A mistake that shows where two values meet is found by them. One that needs three certain values at once may be
    left to the full size.

    Args:
        cells: The whole matrix.
        axes: A cell's values, one of each axis.

    Returns:
        The chosen cells, in the order of the matrix.
    """
    whole = list(cells)
    if IS_FULL:
        return whole
    left = {number: set(itertools.combinations(enumerate(axes(cell)), 2)) for number, cell in enumerate(whole)}
    chosen = []
    while any(left.values()):
        best = max(left, key=lambda number: len(left[number]))  # the first of those that show most
        shown = left.pop(best)
        chosen.append(best)
        left = {number: pairs - shown for number, pairs in left.items()}
    return [whole[number] for number in sorted(chosen)]
