"""Which turns are learned, and with which weight."""

from typing import Any

import pytest
from pydantic import ValidationError

from sft_core.data.chat.config import ChatConfig
from sft_core.data.chat.template import TemplateRefusedError
from sft_core.data.chat.turns import turn_weights
from sft_core.store.records import Message


def turn(role: str, **more: Any) -> Message:
    return {"role": {"u": "user", "a": "assistant", "t": "tool"}[role], "content": "x", **more}


TALK = [turn("u"), turn("a"), turn("t"), turn("a"), turn("u")]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, None),
        ({"assistant_only_loss": True}, [1, 3]),
        ({"train_on": "all"}, [1, 3]),
        ({"train_on": "last"}, [3]),
        ({"assistant_only_loss": True, "train_on": "last"}, [3]),
        ({"train_on_roles": ("assistant", "tool")}, [1, 2, 3]),
        ({"train_on_roles": ("user",), "train_on": "last"}, [4]),
        ({"train_on_roles": ("nobody",)}, []),
    ],
)
def test_the_recipe_says_whose_turns_are_learned(config: dict[str, Any], expected: list[int] | None) -> None:
    weights = turn_weights(ChatConfig(**config), TALK)
    assert weights == (None if expected is None else dict.fromkeys(expected, 1.0))


def test_a_message_says_its_own_weight() -> None:
    messages = [turn("u"), turn("a", weight=0), turn("a", weight=0.5), turn("a"), turn("a", train=False)]
    assert turn_weights(ChatConfig(), messages) == {2: 0.5, 3: 1.0}


def test_weights_of_other_roles_do_not_matter() -> None:
    messages = [turn("u", weight=1, train=True), turn("a")]
    assert turn_weights(ChatConfig(), messages) == {1: 1.0}
    assert turn_weights(ChatConfig(train_on_roles=("user",)), messages) == {0: 1.0}


def test_the_last_turn_may_be_context() -> None:
    assert turn_weights(ChatConfig(train_on="last"), [turn("u"), turn("a"), turn("a", weight=0)]) == {}


@pytest.mark.parametrize("weight", ["1", -1, float("nan"), float("inf"), [1]])
def test_a_weight_is_a_number_from_0_up(weight: Any) -> None:
    with pytest.raises(TemplateRefusedError, match="`weight` of a message is not a number from 0 up"):
        turn_weights(ChatConfig(), [turn("a", weight=weight)])


def test_train_is_true_or_false() -> None:
    with pytest.raises(TemplateRefusedError, match="`train` of a message is neither true nor false"):
        turn_weights(ChatConfig(), [turn("a", train="yes")])


def test_assistant_only_loss_and_other_roles_contradict_each_other() -> None:
    with pytest.raises(ValidationError, match="contradict each other"):
        ChatConfig(assistant_only_loss=True, train_on_roles=("user",))
