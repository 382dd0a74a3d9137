"""Drawing by hash."""

import numpy as np
import pytest

from sft_core.data.draw import is_drawn, shuffled, splitmix64

NUMBERS = np.arange(100_000).astype(np.uint64)


def test_the_generator_is_the_published_one() -> None:
    states = np.arange(3).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert splitmix64(states).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.93, 1.0])
def test_a_share_is_met(share: float) -> None:
    drawn = is_drawn(NUMBERS, np.full(len(NUMBERS), share), salt=1)
    assert drawn.mean() == pytest.approx(share, abs=0.01)


def test_a_larger_share_keeps_what_a_smaller_one_has() -> None:
    small, large = (is_drawn(NUMBERS, np.full(len(NUMBERS), share), salt=1) for share in (0.2, 0.3))
    assert not (small & ~large).any()


def test_another_salt_draws_others() -> None:
    first, second = (is_drawn(NUMBERS, np.full(len(NUMBERS), 0.5), salt) for salt in (1, 2))
    assert (first & second).mean() == pytest.approx(0.25, abs=0.01)


def test_a_shuffle_has_every_number_once() -> None:
    assert sorted(shuffled(1000, 42).tolist()) == list(range(1000))


def test_a_shuffle_is_the_same_everywhere() -> None:
    assert shuffled(10, 42).tolist() == [0, 3, 2, 4, 9, 5, 6, 8, 1, 7]
