"""Split into train and eval rows, a pure function of a row's prompt and a seed.

Nothing else enters. The result is therefore the same on every machine and for every order of the rows, appending rows
moves no other row, and all rows that share a prompt are in the same split.
"""

import hashlib

from sft_core.store.ledger import Split


def split_of(prompt_id: int, eval_fraction: float, seed: int) -> Split:
    """Return `eval` if the prompt, hashed with the seed, falls into the first `eval_fraction` of all hashes."""
    if eval_fraction == 0.0:
        return "train"
    content = b"%d %d" % (seed, prompt_id)
    position = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") / 2**64
    return "eval" if position < eval_fraction else "train"
