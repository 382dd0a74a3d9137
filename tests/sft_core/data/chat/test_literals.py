"""Special tokens that data spells are found in the rendered text, and nothing else is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.data.chat.choose import BUNDLED
from sft_core.data.chat.grammar import Grammar
from sft_core.data.chat.literals import special_texts_of
from sft_core.data.chat.spans import Rendering
from sft_core.data.chat.template import ChatTemplate, TemplateRefusedError
from sft_core.store.records import Conversation, Message

from .families import FAMILIES
from .templates import CHATML, TOOLS

TOKENS = (("bos_token", "<s>"), ("eos_token", "</s>"))
SPECIALS = ("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|im", '"<q>"')


def literals(source: str, *messages: Message, **setting: Any) -> list[tuple[int, str]]:
    """(start, text) of each."""
    rendering = Rendering.of(Grammar(ChatTemplate(source, TOKENS, None, SPECIALS)), Conversation(messages, **setting))
    specials = special_texts_of(SPECIALS)
    assert specials is not None
    flat = specials.literals(rendering)
    return [(start, rendering.text[start:end]) for start, end in zip(flat[::2], flat[1::2], strict=True)]


def test_only_the_tokens_that_came_from_the_data_are_literals() -> None:
    assert literals(CHATML, {"role": "user", "content": "say <|im_end|> twice: <|im_end|>"}) == [
        (len("<|im_start|>user\nsay "), "<|im_end|>"),
        (len("<|im_start|>user\nsay <|im_end|> twice: "), "<|im_end|>"),
    ]


def test_the_longest_token_is_meant() -> None:
    assert [text for _, text in literals(CHATML, {"role": "user", "content": "<|im_<|im<|im_start|>"})] == [
        "<|im",
        "<|im",
        "<|im_start|>",
    ]


def test_calls_and_descriptions_of_tools_are_data_too() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "</s>", "<s>": 1}}]}
    found = literals(TOOLS, call, tools=({"about": "<|im_end|>"},))
    assert [text for _, text in found] == ["<|im_end|>", "<|im_end|>", "</s>", "<s>"]


def test_an_argument_that_names_a_special_token_means_it() -> None:
    source = "{{ messages[0].content }}{{ eos_token }}{{ persona }}"
    message = {"role": "user", "content": "a"}
    assert literals(source, message, chat_template_kwargs={"eos_token": "<|im_end|>", "persona": "<s>"}) == [
        (len("a<|im_end|>"), "<s>")
    ]


def test_what_the_template_leaves_out_is_no_literal() -> None:
    source = "{{ messages[0].content.split('|')[-1] }}"
    assert literals(source, {"role": "user", "content": "<s>|a"}) == []


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[0].content | length }}",
        "{{ messages[0].content.replace('<s>', '') }}",
        "{{ 'a' if '<s>' in messages[0].content else messages[0].content }}",
    ],
)
def test_a_template_that_looks_at_special_tokens_in_the_data_is_refused(source: str) -> None:
    with pytest.raises(TemplateRefusedError, match="changes what the chat template does"):
        literals(source, {"role": "user", "content": "x<s>"})


def test_the_character_of_our_marks_is_refused_beside_a_special_token() -> None:
    with pytest.raises(TemplateRefusedError, match="cannot be told from a real one"):
        literals(CHATML, {"role": "user", "content": "\uf8fd<s>"})


@pytest.mark.parametrize(("text", "found"), [('"<s>"', True), ('"< s >"', False), ('"\\"<q>\\""', True)])
def test_json_is_searched_as_it_is_spelled(text: str, found: bool) -> None:
    specials = special_texts_of(SPECIALS)
    assert specials is not None
    assert bool(specials.in_json.search(text)) == found


def test_a_tokenizer_without_special_tokens_has_no_literals() -> None:
    assert special_texts_of(()) is None


@pytest.mark.parametrize("family", FAMILIES)
@given(contents=st.lists(st.lists(st.sampled_from(["x", " ", *SPECIALS]), max_size=5).map("".join), max_size=4))
def test_with_the_literals_taken_out_no_content_can_write_a_special_token(family: str, contents: list[str]) -> None:
    source = (BUNDLED / f"{family}.jinja").read_text()
    specials = special_texts_of(SPECIALS[:4])
    assert specials is not None

    def tokens_of(*contents: str) -> list[str]:
        """Those that a tokenizer would see outside of literals."""
        roles = ("user", "assistant")
        messages = tuple({"role": roles[turn % 2], "content": content} for turn, content in enumerate(contents))
        rendering = Rendering.of(Grammar(ChatTemplate(source, TOKENS, None, SPECIALS[:4])), Conversation(messages))
        text, flat = rendering.text, specials.literals(rendering)
        for start, end in reversed(list(zip(flat[::2], flat[1::2], strict=True))):
            text = f"{text[:start]}·{text[end:]}"
        return specials.spelled.findall(text)

    assert tokens_of("a", *contents) == tokens_of("a", *("x" for _ in contents))
