"""Prompts of held-out rows."""

from pathlib import Path

import numpy as np

from sft_core.data.shards import write_prompts
from sft_core.store.records import RECORDS
from sft_core.store.tables import iterate_rows, write_table

from .token_shards import token_row, token_rows

ASKED = {"split": "eval", "prompt_ids": [1], "reference": "b"}


def test_the_chosen_rows_that_have_a_prompt_are_written_in_order(tmp_path: Path) -> None:
    row = token_row([1, 2], [0, 1])
    shards = (
        [row, {**row, **ASKED}],
        [row],
        [{**row, **ASKED, "prompt_ids": [5, 6], "prompt_images": '["a"]'}, {**row, **ASKED}],
    )
    records = [tmp_path / f"records-{number}.arrow" for number in range(3)]
    for path, numbers in zip(records, ([10, 11], [12], [13, 14]), strict=True):
        # rejected rows have a record, and no tokens
        rows = [{"row": n, "line": None, "record": f'{{"n": {n}}}'} for n in (9, *numbers)]
        write_table(path, RECORDS, rows)
    write_prompts(tmp_path / "prompts.arrow", token_rows(tmp_path, *shards), np.array([0, 1, 3]), records)
    assert list(iterate_rows(tmp_path / "prompts.arrow")) == [
        {"source": "source-0", "row": 11, "prompt_ids": [1], "reference": "b", "metadata": '{"n": 11}', "images": None},
        {
            "source": "source-2",
            "row": 13,
            "prompt_ids": [5, 6],
            "reference": "b",
            "metadata": '{"n": 13}',
            "images": '["a"]',
        },
    ]


def test_no_prompts_are_an_empty_table(tmp_path: Path) -> None:
    rows = token_rows(tmp_path, [token_row([1, 2], [0, 1])])
    write_prompts(tmp_path / "prompts.arrow", rows, np.array([], np.int64), [tmp_path / "records.arrow"])
    assert list(iterate_rows(tmp_path / "prompts.arrow")) == []
