"""The digest of a data set: its content, and nothing of how it came to be."""

from pathlib import Path
from typing import Any

import pytest

from .test_write import BLOCKS, FOUR, Blocks, written
from .token_shards import Row, token_row

WEIGHTED = {**FOUR[0], "loss_weights": [1.0, 0.5, 2.0]}


def test_equal_content_has_an_equal_digest_whatever_it_came_from(tmp_path: Path) -> None:
    turned = [FOUR[number] for number in (1, 0, 3, 2)]
    blocks: Blocks = [[(0, 0, 2), (1, 0, 3)], [(2, 0, 2)], [(3, 0, 1)]]
    one, other = written(tmp_path / "a", BLOCKS, FOUR), written(tmp_path / "b", blocks, turned[:1], turned[1:])
    assert one.digest == other.digest


def test_the_digest_is_that_of_the_targets_however_they_are_written(tmp_path: Path) -> None:
    labels = written(tmp_path / "a", BLOCKS, FOUR, target_column="labels")
    assert labels.digest == written(tmp_path / "b", BLOCKS, FOUR).digest


@pytest.mark.parametrize(
    ("rows", "blocks"),
    [
        ([token_row([1, 2, 9], [0, 1, 1]), *FOUR[1:]], BLOCKS),
        ([token_row([1, 2, 3], [0, 0, 1]), *FOUR[1:]], BLOCKS),
        (FOUR, [BLOCKS[0][::-1], *BLOCKS[1:]]),
        (FOUR, [BLOCKS[0], BLOCKS[2], BLOCKS[1]]),
        (FOUR, [[BLOCKS[0][0]], [BLOCKS[0][1]], *BLOCKS[1:]]),
        (FOUR, [BLOCKS[0], [*BLOCKS[1], *BLOCKS[2]]]),
        (
            [token_row([2, 3], [1, 1]), token_row([4, 5, 1], [0, 1, 0]), *FOUR[2:]],
            [[(1, 0, 3), (0, 0, 2)], *BLOCKS[1:]],
        ),
        ([WEIGHTED, *FOUR[1:]], BLOCKS),
    ],
    ids=["id", "mask", "order in a block", "order of blocks", "cut", "joined", "border between rows", "weights"],
)
def test_different_content_has_a_different_digest(tmp_path: Path, rows: list[Row], blocks: Blocks) -> None:
    assert written(tmp_path / "a", blocks, rows).digest != written(tmp_path / "b", BLOCKS, FOUR).digest


@pytest.mark.parametrize("images", ['["b.png"]', None])
def test_images_are_content(tmp_path: Path, images: Any) -> None:
    blocks: Blocks = [[(0, 0, 3)], [(1, 0, 2)]]
    shown = [{**FOUR[0], "images": '["a.png"]'}, FOUR[1]]
    changed = [{**FOUR[0], "images": images}, FOUR[1]]
    assert written(tmp_path / "a", blocks, shown).digest != written(tmp_path / "b", blocks, changed).digest


def test_one_sequence_is_not_several(tmp_path: Path) -> None:
    joined = written(tmp_path / "a", BLOCKS, FOUR, is_one_sequence=True)
    assert joined.digest != written(tmp_path / "b", BLOCKS, FOUR).digest
