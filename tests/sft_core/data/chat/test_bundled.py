"""The bundled templates: what they write, to be checked by eye, and what is learned of it (between ⟦ and ⟧)."""

from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from sft_core.data.chat.choose import BUNDLED
from sft_core.data.chat.grammar import Grammar
from sft_core.data.chat.spans import Rendering, turn_spans
from sft_core.data.chat.template import ChatTemplate, TemplateRefusedError
from sft_core.store.records import Conversation, Message

from .families import FAMILIES, TOKENS

SPECIALS = ("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>")
SYSTEM, ASK, ANSWER, MORE, LAST = (
    {"role": role, "content": content}
    for role, content in (
        ("system", "Be brief."),
        ("user", "2+2?"),
        ("assistant", "4"),
        ("user", "3+3?"),
        ("assistant", "6"),
    )
)
TOOLS = ({"type": "function", "function": {"name": "add", "parameters": {}}},)
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 2}}}],
}
RESULT = {"role": "tool", "content": "4", "tool_call_id": "c1"}
THOUGHT = {"role": "assistant", "content": "4", "reasoning_content": "2 and 2"}


def learned(
    family: str, *messages: Message, tools: Any = None, kwargs: dict[str, Any] | None = None, turns: Any = None
) -> str:
    """The text, with brackets around what the assistant says."""
    template = ChatTemplate((BUNDLED / f"{family}.jinja").read_text(), TOKENS, None, SPECIALS)
    rendering = Rendering.of(Grammar(template), Conversation(messages, None, tools, kwargs))
    if turns is None:
        turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    text = rendering.text
    for _, (start, end) in reversed(turn_spans(rendering, turns)):
        text = f"{text[:start]}⟦{text[start:end]}⟧{text[end:]}"
    return text


def prompt(family: str, *messages: Message, **kwargs: Any) -> str:
    template = ChatTemplate((BUNDLED / f"{family}.jinja").read_text(), TOKENS)
    return template.render(messages, add_generation_prompt=True, kwargs=kwargs)[0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("add_generation_prompt", [False, True])
def test_transformers_renders_the_same(family: str, add_generation_prompt: bool) -> None:
    source, messages = (BUNDLED / f"{family}.jinja").read_text(), [SYSTEM, ASK, ANSWER, MORE, LAST]
    theirs, _ = render_jinja_template(
        [messages], chat_template=source, add_generation_prompt=add_generation_prompt, **dict(TOKENS)
    )
    assert ChatTemplate(source, TOKENS).render(messages, add_generation_prompt=add_generation_prompt)[0] == theirs[0]


CHATML_QUESTION = "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"
LLAMA3_QUESTION = (
    "<s><|start_header_id|>user<|end_header_id|>\n\n2+2?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
)
QWEN_SYSTEM = "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("chatml", CHATML_QUESTION),
        ("gemma", "<s><start_of_turn>user\n2+2?<end_of_turn>\n<start_of_turn>model\n"),
        ("llama3", LLAMA3_QUESTION),
        ("mistral", "<s>[INST] 2+2?[/INST]"),
        ("phi3", "<s><|user|>\n2+2?<|end|>\n<|assistant|>\n"),
        ("plain", "2+2?"),
        ("qwen2.5", QWEN_SYSTEM + CHATML_QUESTION),
        ("qwen3", CHATML_QUESTION),
    ],
)
def test_a_question(family: str, expected: str) -> None:
    assert prompt(family, ASK) == expected


def test_qwen3_is_asked_not_to_think_by_thoughts_that_are_over() -> None:
    assert prompt("qwen3", ASK, enable_thinking=False) == f"{CHATML_QUESTION}<think>\n\n</think>\n\n"


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        (
            "chatml",
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n"
            "<|im_start|>assistant\n⟦4<|im_end|>⟧\n"
            "<|im_start|>user\n3+3?<|im_end|>\n<|im_start|>assistant\n⟦6<|im_end|>⟧\n",
        ),
        (
            "gemma",
            "<s><start_of_turn>user\nBe brief.\n\n2+2?<end_of_turn>\n<start_of_turn>model\n⟦4<end_of_turn>⟧\n"
            "<start_of_turn>user\n3+3?<end_of_turn>\n<start_of_turn>model\n⟦6<end_of_turn>⟧\n",
        ),
        (
            "llama3",
            "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\n2+2?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n⟦4<|eot_id|>⟧"
            "<|start_header_id|>user<|end_header_id|>\n\n3+3?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n⟦6<|eot_id|>⟧",
        ),
        ("mistral", "<s>[INST] Be brief.\n\n2+2?[/INST]⟦ 4</s>⟧[INST] 3+3?[/INST]⟦ 6</s>⟧"),
        (
            "phi3",
            "<s><|system|>\nBe brief.<|end|>\n<|user|>\n2+2?<|end|>\n<|assistant|>\n⟦4<|end|>⟧\n"
            "<|user|>\n3+3?<|end|>\n<|assistant|>\n⟦6<|end|>⟧\n</s>",
        ),
        ("plain", "Be brief.2+2?⟦4⟧3+3?⟦6</s>⟧"),
        (
            "qwen2.5",
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n"
            "<|im_start|>assistant\n⟦4<|im_end|>⟧\n"
            "<|im_start|>user\n3+3?<|im_end|>\n<|im_start|>assistant\n⟦6<|im_end|>⟧\n",
        ),
        (
            "qwen3",
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n"
            "<|im_start|>assistant\n⟦4<|im_end|>⟧\n"
            "<|im_start|>user\n3+3?<|im_end|>\n<|im_start|>assistant\n⟦<think>\n\n</think>\n\n6<|im_end|>⟧\n",
        ),
    ],
)
def test_two_questions_and_answers(family: str, expected: str) -> None:
    assert learned(family, SYSTEM, ASK, ANSWER, MORE, LAST) == expected


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        (
            "llama3",
            '⟦{"name": "add", "parameters": {"a": 2}}<|eot_id|>⟧<|start_header_id|>ipython<|end_header_id|>\n\n'
            "4<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n⟦4<|eot_id|>⟧",
        ),
        (
            "mistral",
            '⟦[TOOL_CALLS] [{"name": "add", "arguments": {"a": 2}, "id": "c1"}]</s>⟧'
            '[TOOL_RESULTS] {"content": "4", "call_id": "c1"}[/TOOL_RESULTS]⟦ 4</s>⟧',
        ),
        (
            "qwen2.5",
            '⟦<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call><|im_end|>⟧\n'
            "<|im_start|>user\n<tool_response>\n4\n</tool_response><|im_end|>\n<|im_start|>assistant\n⟦4<|im_end|>⟧\n",
        ),
        (
            "qwen3",
            '⟦<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call><|im_end|>⟧\n'
            "<|im_start|>user\n<tool_response>\n4\n</tool_response><|im_end|>\n"
            "<|im_start|>assistant\n⟦<think>\n\n</think>\n\n4<|im_end|>⟧\n",
        ),
    ],
)
def test_a_call_of_a_tool_is_learned_and_its_result_is_not(family: str, expected: str) -> None:
    text = learned(family, SYSTEM, ASK, CALL, RESULT, ANSWER, tools=TOOLS)
    assert text[text.index("⟦") :] == expected
    assert "Be brief." in text[: text.index("⟦")]
    assert '"name": "add"' in text[: text.index("⟦")]


def test_qwen3_writes_the_thoughts_behind_the_last_question() -> None:
    thoughts = f"{CHATML_QUESTION}⟦<think>\n2 and 2\n</think>\n\n4<|im_end|>⟧\n"
    inline = {"role": "assistant", "content": "<think>\n2 and 2\n</think>\n\n4"}
    assert learned("qwen3", ASK, THOUGHT) == learned("qwen3", ASK, inline) == thoughts


def test_qwen3_leaves_earlier_thoughts_out_so_only_the_last_turn_can_be_learned() -> None:
    with pytest.raises(TemplateRefusedError, match="rewrites earlier turns"):
        learned("qwen3", ASK, THOUGHT, MORE, LAST)
    assert learned("qwen3", ASK, THOUGHT, MORE, LAST, turns=[3]) == (
        f"{CHATML_QUESTION}4<|im_end|>\n<|im_start|>user\n3+3?<|im_end|>\n"
        "<|im_start|>assistant\n⟦<think>\n\n</think>\n\n6<|im_end|>⟧\n"
    )


def test_qwen3_without_thinking_learns_what_follows_the_prompt_that_it_is_given() -> None:
    text = learned("qwen3", ASK, ANSWER, MORE, LAST, kwargs={"enable_thinking": False})
    assert text == (
        f"{CHATML_QUESTION}⟦4<|im_end|>⟧\n<|im_start|>user\n3+3?<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n⟦6<|im_end|>⟧\n"
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_may_come_first_and_may_be_empty(family: str) -> None:
    text = learned(family, {"role": "assistant", "content": "Hello"}, ASK, {"role": "assistant", "content": ""})
    assert text.count("⟦") == 2
    assert "⟦Hello" in text or "⟦ Hello" in text
