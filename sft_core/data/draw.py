"""Draw random choices by hash, so that they are the same on every machine, with every version of every library, and
for any division of the rows into shards.
"""

import numpy as np
import numpy.typing as npt

from sft_core.store.ragged import IntArray

_STEP = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio: the step of splitmix64 (Steele, Lea, Flood 2014)."""


def mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Mix the bits of each value one-to-one, such that a change of one bit changes about half of the resulting bits.

    The finalizer of splitmix64.
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def splitmix64(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return 64 well mixed bits of each value: the output of the splitmix64 generator with the value as its state."""
    return mix(values + _STEP)


def mixed(values: npt.NDArray[np.integer], salt: int) -> npt.NDArray[np.uint64]:
    """Return 64 well mixed bits of each value combined with the salt."""
    return splitmix64(values.astype(np.uint64) + splitmix64(np.array([salt], np.uint64)))


def is_drawn(values: npt.NDArray[np.uint64], share: npt.NDArray[np.float64], salt: int) -> npt.NDArray[np.bool_]:
    """Return True for each value that is drawn, [values].

    Args:
        values: [values]
        share: [values] Probability with which each value is drawn, from 0 to 1.
        salt: Seed of the draw.
    """
    return (mixed(values, salt) >> np.uint64(11)) * 2.0**-53 < share


def shuffled(count: int, seed: int) -> IntArray:
    """Return the integers from 0 to `count` - 1 in a random order."""
    return np.argsort(mixed(np.arange(count), seed), kind="stable")
