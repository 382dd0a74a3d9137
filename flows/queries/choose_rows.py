"""Choice of prepared rows to look at, decoded token by token."""

import itertools
from collections.abc import Iterable, Mapping

from flows.queries.open_data import OpenData
from sft_core.errors import RecipeError
from sft_core.inspection import RowTable, RowView, first_rows, named_rows, random_rows, view_rows, worst_rows
from sft_core.pretrained.plain_tokenizer import plain_tokenizer

WORST_KINDS = 3


def choose_rows(data: OpenData, name: str | None, num_rows: int, is_worst: bool, seed: int) -> list[RowView]:
    """Choose rows of a data set: those with a name `SOURCE:ROW`, the worst, or some at random.

    Args:
        data: The data set.
        name: Name of the rows; None chooses by the other arguments.
        num_rows: Maximum number of rows to choose.
        is_worst: True for the rows to check first, False for random rows.
        seed: Seed of the random choice.

    Raises:
        RecipeError: if no row has this name, or if the tokenizer of the data set is not known.
    """
    table = RowTable.read(data.lineage)
    if name is not None:
        source, row = parse_name("--row", name)
        return _view(data, table, named_rows(data.lineage, table, source, row), {})
    if is_worst:
        why = dict(itertools.islice(worst_rows(table, -(-num_rows // WORST_KINDS)).items(), num_rows))
        return _view(data, table, why, why)
    return _view(data, table, random_rows(table, num_rows, seed), {})


def rows_of_sources(data: OpenData, table: RowTable, rows_each: int) -> dict[str, list[RowView]]:
    """Return the first rows of each source: source → its rows."""
    chosen = first_rows(data.lineage, table, rows_each)
    return {source: _view(data, table, positions, {}) for source, positions in chosen.items()}


def parse_name(option: str, name: str) -> tuple[str, int]:
    """Split `gsm8k:12` into name and number.

    Raises:
        RecipeError: if the text does not end with a colon and a number.
    """
    before, _, number = name.rpartition(":")
    if not before or not number.isdecimal():
        raise RecipeError(f"{option}: expected a name and a number, such as gsm8k:12; found '{name}'")
    return before, int(number)


def _view(data: OpenData, table: RowTable, positions: Iterable[int], why: Mapping[int, str]) -> list[RowView]:
    if data.tokenizer is None:
        raise RecipeError(
            "a data set has token ids but no tokenizer to decode them; name the recipe, or the folder of a training run"
        )
    return view_rows(data.lineage, table, plain_tokenizer(data.tokenizer), positions, dict(why), data.processor)
