"""Templates render as transformers renders them, and their marks are found exactly."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.utils.chat_template_utils import render_jinja_template

from sft_core.data.chat.choose import TemplateRef, chat_template_of
from sft_core.data.chat.config import ChatConfig
from sft_core.data.chat.template import ChatTemplate, TemplateRefusedError
from sft_core.errors import RecipeError
from sft_core.pretrained.tokenizer import TokenizerRef, load_tokenizer

from .templates import BRACKETS, CHATML, FORGETFUL_THINKING, INDENTED, LOOP_CONTROLS, PLAIN_CHATML, TOOLS

QUESTION = [{"role": "user", "content": "2+2?"}]
SHORT = [*QUESTION, {"role": "assistant", "content": "4"}]
LONG = [
    *SHORT,
    {"role": "user", "content": " <b>& 'ß' \"\U0001f600\"\n"},
    {"role": "assistant", "content": "\nyes \n\n"},
]
WITH_SYSTEM = [{"role": "system", "content": "Be brief."}, *LONG]
STOPPED = [*SHORT, {"role": "user", "content": "STOP"}, *SHORT]
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"function": {"name": "añadir", "arguments": {"a": [1, 2.5, None, True]}}}],
}
TOOL_USE = [*QUESTION, CALL, {"role": "tool", "content": "4"}, SHORT[1]]
TOOL_LIST = [
    {"type": "function", "function": {"name": "add", "description": "<ß> & \U0001f600", "parameters": {"b": 1, "a": 2}}}
]


@pytest.mark.parametrize("add_generation_prompt", [False, True])
@pytest.mark.parametrize(
    ("source", "messages", "tools"),
    [
        *(
            (source, messages, None)
            for source in (CHATML, PLAIN_CHATML, FORGETFUL_THINKING, LOOP_CONTROLS)
            for messages in (SHORT, WITH_SYSTEM)
        ),
        (BRACKETS, QUESTION, None),
        (INDENTED, LONG, None),
        (BRACKETS, LONG, None),
        (LOOP_CONTROLS, STOPPED, None),
        (TOOLS, SHORT, None),
        (TOOLS, TOOL_USE, TOOL_LIST),
        (TOOLS, TOOL_USE, []),
        ("{{ messages[0].content | upper }}{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ nothing }}", QUESTION, None),
        ("{{ messages | length }} {{ messages[-1]['content'].strip() }} {{ messages[7] }}", LONG, None),
        ("{% set x = messages[1:] %}{{ x[0].role if x else 'none' }}{# a comment #}\n", SHORT, None),
    ],
)
def test_the_text_is_that_of_transformers(
    source: str, messages: list[Any], tools: list[Any] | None, add_generation_prompt: bool, tokenizer_ref: TokenizerRef
) -> None:
    template = chat_template_of(ChatConfig(), TemplateRef(source=source), tokenizer_ref)
    assert template is not None
    text, _ = template.render(messages, add_generation_prompt=add_generation_prompt, tools=tools)
    theirs = load_tokenizer(tokenizer_ref).apply_chat_template(
        messages, chat_template=source, tools=tools or None, add_generation_prompt=add_generation_prompt, tokenize=False
    )
    assert text == theirs


def test_arguments_of_a_row_reach_the_template() -> None:
    template = ChatTemplate(
        "{{ 'think' if enable_thinking else 'just answer' }} {{ eos_token }}", (("eos_token", "</s>"),)
    )
    assert template.render(SHORT, kwargs={"enable_thinking": True})[0] == "think </s>"
    assert template.render(SHORT, kwargs={"eos_token": "<end>"})[0] == "just answer <end>"


def test_chatml_marks_what_the_assistant_says_and_the_token_that_ends_the_turn() -> None:
    text, spans = ChatTemplate(CHATML, ()).render(LONG)
    assert [text[start:end] for start, end in spans] == ["4<|im_end|>", "\nyes \n\n<|im_end|>"]
    assert all(text[:start].endswith("<|im_start|>assistant\n") for start, _ in spans)


MARKED = {
    "trimmed": "{% for m in messages %}[{%- generation -%}  {{ m.content }} {%- endgeneration -%}] {% endfor %}",
    "untrimmed": "{% for m in messages %}[{% generation %} {{ m.content }} {% endgeneration %}]\n{% endfor %}",
    "empty": "{% for m in messages %}x{% generation %}{% endgeneration %}y{% endfor %}",
    "whole": "{% generation %}{{ messages[0].content }}{% endgeneration %}",
    "with variables": (
        "{% set n = namespace(i=0) %}{% for m in messages %}"
        "{% generation %}{% set n.i = n.i + 1 %}{{ n.i }}{% endgeneration %}{% endfor %}"
    ),
    "conditional": (
        "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
        "{% else %}{{ m.content }}{% endif %}{% endfor %}"
    ),
}


@pytest.mark.parametrize("source", [CHATML, *MARKED.values()], ids=["chatml", *MARKED])
def test_marks_are_found_where_transformers_finds_them(source: str) -> None:
    theirs, their_spans = render_jinja_template([WITH_SYSTEM], chat_template=source, return_assistant_tokens_mask=True)
    assert ChatTemplate(source, ()).render(WITH_SYSTEM) == (theirs[0], their_spans[0])


def test_marks_are_found_inside_a_filter() -> None:
    source = (
        "{% set turn %}  {% generation %}{{ messages[0].content }}{% endgeneration %}  {% endset %}<{{ turn | trim }}>"
    )
    assert ChatTemplate(source, ()).render(QUESTION) == ("<2+2?>", [(1, 5)])


def test_a_template_without_marks_has_no_spans() -> None:
    template = ChatTemplate(PLAIN_CHATML, ())
    assert not template.marks_generation
    assert template.render(SHORT)[1] == []
    assert ChatTemplate(CHATML, ()).marks_generation


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "{{ raise_exception('roles must alternate') }}",
            "the chat template refuses the conversation: roles must alternate",
        ),
        (
            "{{ messages[0].nothing.at_all }}",
            "the chat template refuses the conversation: .* has no attribute 'nothing'",
        ),
        ("{{ ''.__class__.mro() }}", "the chat template refuses the conversation: access to attribute '__class__'"),
        ("{{ messages.append(1) }}", "the chat template refuses the conversation"),
        ("{{ messages[0].content + 1 }}", "the chat template fails on the conversation: TypeError"),
        ("{{ messages[0].content | int // 0 }}", "the chat template fails on the conversation: ZeroDivisionError"),
        ("{{ '{0}'.format() }}", "the chat template fails on the conversation: IndexError"),
        ("{{ undefined_function() }}", "'undefined_function' is undefined"),
    ],
)
def test_a_conversation_that_the_template_cannot_render_is_refused(source: str, reason: str) -> None:
    with pytest.raises(TemplateRefusedError, match=reason):
        ChatTemplate(source, ()).render(QUESTION)


def test_arguments_of_a_row_cannot_take_the_place_of_its_messages() -> None:
    with pytest.raises(TemplateRefusedError, match="TypeError"):
        ChatTemplate(CHATML, ()).render(QUESTION, kwargs={"messages": []})


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("one\n{% if %}", 2),
        ("{% for m in messages %}", 1),
        ("{{ x | no_such_filter }}", 1),
        ("{% generation %}", 1),
        ("{{ messages | random }}", 1),
    ],
)
def test_an_error_in_the_template_is_a_mistake_of_the_recipe_with_its_line(source: str, line: int) -> None:
    with pytest.raises(RecipeError, match=f"the chat template has an error in line {line}: "):
        ChatTemplate(source, ()).render(QUESTION)


DATED = "{{ strftime_now('%d %B %Y') }}: {{ messages[0].content }}"


def test_a_template_that_asks_for_the_date_needs_one_in_the_recipe() -> None:
    with pytest.raises(RecipeError, match=r"set chat\.template_date"):
        ChatTemplate(DATED, ()).render(QUESTION)


def test_a_template_that_asks_for_the_date_gets_that_of_the_recipe() -> None:
    assert ChatTemplate(DATED, (), "2026-05-01").render(QUESTION)[0] == "01 May 2026: 2+2?"


def test_the_date_is_also_given_as_llama_3_takes_it() -> None:
    source = "{{ date_string if date_string is defined else 'none' }}"
    assert ChatTemplate(source, ()).render(QUESTION)[0] == "none"
    assert ChatTemplate(source, (), "2026-05-01").render(QUESTION)[0] == "01 May 2026"
    assert ChatTemplate(source, (), "2026-05-01").render(QUESTION, kwargs={"date_string": "now"})[0] == "now"


def test_a_template_that_could_ask_for_the_date_but_does_not_needs_none() -> None:
    assert ChatTemplate("{% if False %}{{ strftime_now('%Y') }}{% endif %}x", ()).render(QUESTION)[0] == "x"


MARK_IN_INPUT: dict[str, dict[str, Any]] = {
    "message": {"messages": [{"role": "user", "content": "an apple: \uf8ff"}]},
    "tool call": {"messages": [{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "\uf8fe"}}]}]},
    "tool": {"messages": QUESTION, "tools": [{"name": "\uf8ff"}]},
    "argument": {"messages": QUESTION, "kwargs": {"persona": "\uf8fe"}},
}


@pytest.mark.parametrize("inputs", MARK_IN_INPUT.values(), ids=MARK_IN_INPUT)
def test_the_characters_of_our_marks_are_refused_by_a_template_with_marks(inputs: dict[str, Any]) -> None:
    source = "{{ tools | tojson }}{{ persona }}{% generation %}{{ messages | tojson }}{% endgeneration %}"
    with pytest.raises(TemplateRefusedError, match=r"U\+F8FE or U\+F8FF"):
        ChatTemplate(source, ()).render(**inputs)


def test_the_characters_of_our_marks_are_text_like_any_other_without_marks() -> None:
    text, _ = ChatTemplate(PLAIN_CHATML, ()).render(MARK_IN_INPUT["message"]["messages"])
    assert text == "<|im_start|>user\nan apple: \uf8ff<|im_end|>\n"


CONVERSATIONS = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "user", "assistant"]),
            "content": st.text(st.characters(codec="utf-8", exclude_characters="\uf8fe\uf8ff"), max_size=20),
        }
    ),
    min_size=1,
    max_size=6,
)


@given(CONVERSATIONS)
def test_spans_of_any_conversation_hold_exactly_what_the_assistant_says(messages: list[dict[str, str]]) -> None:
    text, spans = ChatTemplate(CHATML, ()).render(messages)
    assert text == ChatTemplate(PLAIN_CHATML, ()).render(messages)[0]
    assert [text[start:end] for start, end in spans] == [
        f"{m['content']}<|im_end|>" for m in messages if m["role"] == "assistant"
    ]
