"""Matrices that are reduced still show every two values together."""

import itertools

import pytest

from tests import full_size
from tests.full_size import covering

CELLS = [cell for cell in itertools.product("abc", range(4), ("x", "y")) if cell != ("a", 0, "x")]


def pairs(cells: list[tuple[object, ...]]) -> set[object]:
    return {pair for cell in cells for pair in itertools.combinations(enumerate(cell), 2)}


def test_every_two_values_that_meet_in_a_cell_meet_in_a_chosen_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_size, "IS_FULL", False)
    chosen = covering(CELLS, lambda cell: cell)
    assert pairs(chosen) == pairs(CELLS)
    assert chosen == [cell for cell in CELLS if cell in chosen], "in the order of the matrix"
    assert len(chosen) < len(CELLS)


def test_in_full_size_all_cells_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_size, "IS_FULL", True)
    assert covering(CELLS, lambda cell: cell) == CELLS
