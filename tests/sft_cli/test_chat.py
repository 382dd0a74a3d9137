"""Talking to a model: what it is told, what is remembered, and what the commands do."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sft_cli.chat import Talk, converse
from sft_core.errors import RecipeError
from sft_core.registry.serving import ChatModel
from tests.sft_core.modeling.tiny_models import tiny_model, tiny_tokenizer

TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    "{{ message.role }} {{ message.content }} {% endfor %}{% if add_generation_prompt %}assistant{% endif %}"
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str | None], ChatModel]:
    def load(template: str | None) -> ChatModel:
        folder, tokenizer = tmp_path_factory.mktemp("model"), tiny_tokenizer()
        tokenizer.chat_template = template
        tiny_model().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return ChatModel(Path(folder))

    return load


@pytest.fixture
def chat_model(models: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model with a template that notes what it is asked."""
    model = models(TEMPLATE)
    model.asked = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda prompt, store: (model.asked.append(prompt), encode(prompt, store))[1])
    return model


def talk_to(model: ChatModel, *lines: str, system: str | None = None) -> tuple[Talk, str]:
    """Type lines, then Ctrl-D; return the talk and all that was written."""
    typed, written = iter(lines), list[str]()

    def read() -> str:
        for line in typed:
            return line
        raise EOFError

    talk = Talk(model, 3, 0.0, system)
    converse(talk, read, written.append)
    return talk, "".join(written)


def roles(messages: list[dict[str, str]]) -> list[str]:
    return [message["role"] for message in messages]


def test_what_was_said_before_is_told_again(chat_model: Any) -> None:
    talk, written = talk_to(chat_model, "w2 w3", "w4", system="w9")
    first, second = chat_model.asked
    assert roles(first) == ["system", "user"]
    assert roles(second) == ["system", "user", "assistant", "user"]
    assert second[2]["content"] == talk.turns[1]["content"] != ""
    assert written == "".join(f"{turn['content']}\n" for turn in talk.turns[1::2]) + "\n"


def test_reset_forgets_all_but_the_system_message_and_system_sets_it(chat_model: Any) -> None:
    talk_to(chat_model, "w2", "/reset", "w3", "/system w7 w8", "w4", "/system", "w5", system="w9")
    told = [[message["content"] for message in messages] for messages in chat_model.asked]
    assert told == [["w9", "w2"], ["w9", "w3"], ["w7 w8", "w4"], ["w5"]]


def test_exit_ends_it_and_empty_lines_ask_nothing(chat_model: Any) -> None:
    talk_to(chat_model, "", "  ", "/exit", "w2")
    assert chat_model.asked == []


def test_what_a_template_refuses_is_told_and_does_not_end_the_conversation(chat_model: Any) -> None:
    talk = Talk(chat_model, 3, 0.0)
    talk.turns = [{"role": "tool", "content": "w2"}]
    with pytest.raises(RecipeError, match="rejects the roles tool, user: no tools"):
        talk.ask("w3", lambda _: None)
    assert roles(talk.turns) == ["tool"], "what was not answered is not remembered"


def test_an_answer_is_written_while_it_is_made_and_is_what_a_request_gets(models: Any) -> None:
    import pandas as pd

    model, parts = models(TEMPLATE), list[str]()
    messages = [{"role": "user", "content": "w2 w3"}]
    answer = model.say(messages, 6, 0.0, parts.append)
    assert len(parts) > 1
    assert "".join(parts) == answer != ""
    assert model.predict(pd.DataFrame({"messages": [messages]}), {"max_tokens": 6}) == [answer]


def test_without_a_template_plain_text_is_continued_and_nothing_remembered(models: Any) -> None:
    model = models(None)
    talk, written = talk_to(model, "w2 w3", "w4 w5")
    assert talk.turns == []
    assert written == f"{model.say('w2 w3', 3, 0.0, len)}\n{model.say('w4 w5', 3, 0.0, len)}\n\n"
    with pytest.raises(RecipeError, match=re.escape("--system: this model has no chat template")):
        Talk(model, 3, 0.0, "w9")
    with pytest.raises(RecipeError, match="takes plain text; send `prompt`"):
        model.say([{"role": "user", "content": "w2"}], 3, 0.0, len)


def test_an_interrupted_answer_is_forgotten_and_the_conversation_goes_on(chat_model: Any) -> None:
    talk, lines = Talk(chat_model, 3, 0.0), iter(["w2", "w3"])
    is_first = [True]

    def write(text: str) -> None:
        if text.strip() and is_first:
            is_first.clear()
            raise KeyboardInterrupt

    def read() -> str:
        for line in lines:
            return line
        raise EOFError

    converse(talk, read, write)
    assert [turn["content"] for turn in talk.turns if turn["role"] == "user"] == ["w3"]
