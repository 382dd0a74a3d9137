"""Which rows are held out: a pure function of a row's prompt and a seed.

Because nothing else enters, the answer is the same on every machine and for every order of the rows, appending rows
moves no other row, and all rows that share a prompt lie on one side.
"""

import hashlib

import orjson

from sft_core.ledger import Split
from sft_core.records import Conversation, Example


def split_of(example: Example, eval_fraction: float, seed: int) -> Split:
    """Hold a row out if the hash of its prompt falls into the first `eval_fraction` of all hashes."""
    if eval_fraction == 0.0:
        return "train"
    content = f"{seed}\n{_prompt(example)}".encode("utf-8", "surrogatepass")
    position = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") / 2**64
    return "eval" if position < eval_fraction else "train"


def _prompt(example: Example) -> str:
    """What comes before the answer; the answer itself where nothing does, else all such rows would lie on one side."""
    if isinstance(example, Conversation):
        return orjson.dumps(example.messages[: answer_index(example)] or example.messages).decode()
    return example.prompt or example.completion


def answer_index(conversation: Conversation) -> int:
    """Position of the message that answers: the first of the completion, else the last assistant message, else the
    end."""
    if conversation.completion_index is not None:
        return conversation.completion_index
    roles = [message["role"] for message in conversation.messages]
    return len(roles) - 1 - roles[::-1].index("assistant") if "assistant" in roles else len(roles)
