"""Choose the turns of a conversation that the loss covers, and their weights."""

import math
from collections.abc import Sequence

from sft_core.data.chat.config import ChatConfig
from sft_core.data.chat.template import TemplateRefusedError
from sft_core.store.records import Message


def turn_weights(config: ChatConfig, messages: Sequence[Message]) -> dict[int, float] | None:
    """Return position of a message → weight of its turn, without turns of weight 0.

    Returns:
        None if the loss of this row is not restricted to turns.

    Raises:
        TemplateRefusedError: if a message's `weight` or `train` is invalid.
    """
    if not config.masks_turns and not any("weight" in message or "train" in message for message in messages):
        return None
    turns = [index for index, message in enumerate(messages) if message["role"] in config.train_on_roles]
    if config.train_on == "last":
        turns = turns[-1:]
    weights = ((index, _weight_of(messages[index])) for index in turns)
    return {index: weight for index, weight in weights if weight}


def _weight_of(message: Message) -> float:
    weight, is_trained = message.get("weight", 1), message.get("train", True)
    if not isinstance(weight, int | float) or not math.isfinite(weight) or weight < 0:
        raise TemplateRefusedError("`weight` of a message is not a number from 0 up")
    if not isinstance(is_trained, bool):
        raise TemplateRefusedError("`train` of a message is neither true nor false")
    return float(weight) if is_trained else 0.0
