"""Conversations that show images: where the template writes them, and what is learned around them."""

import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.data.chat import ChatConfig, ChatTemplate
from sft_core.data.chat.grammar import Grammar
from sft_core.data.chat.images import with_placeholders
from sft_core.data.chat.parts import with_readable_contents
from sft_core.data.chat.rows import RenderedRow, RowRenderer
from sft_core.data.chat.spans import Rendering
from sft_core.data.chat.template import TemplateRefusedError
from sft_core.pretrained.processor import ImageTokens, ProcessorRef
from sft_core.store.records import Conversation, TextExample
from tests.vision_rows import IMAGE, said

from .templates import PLAIN_CHATML

BOTH = """{%- for message in messages -%}<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}
{%- for part in message.content -%}
{%- if part.type == 'image' -%}<|vision|><image><|/vision|>{%- else -%}{{ part.text }}{%- endif -%}
{%- endfor -%}
{%- endif -%}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}"""
"""As Qwen 2.5 VL's."""
ONLY_PARTS = (
    "{% for message in messages %}{{ message.role | capitalize }}"
    "{% if message.content[0].type == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for line in message.content %}{% if line.type == 'text' %}{{ line.text }}"
    "{% elif line.type == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""As SmolVLM's: another header before an image."""
IMAGES_FIRST = (
    "{% for message in messages %}{{ message.role.upper() + ': ' }}"
    "{% for part in message.content | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message.content | selectattr('type', 'equalto', 'text') %}"
    "{% if message.role == 'assistant' %}{% generation %}{{ part.text + '</s>' }}{% endgeneration %}"
    "{% else %}{{ part.text + ' ' }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}"
)
"""As LLaVA's, which marks what it generates."""
BLIND = BOTH.replace("<image>", "")
TRIMMED = """{{ bos_token }}{%- for message in messages -%}
<start_of_turn>{{ 'model' if message.role == 'assistant' else message.role }}
{% if message.content is string -%}{{ message.content | trim }}
{%- else -%}
{%- for item in message.content -%}
{%- if item.type == 'image' -%}<image>{%- else -%}{{ item.text | trim }}{%- endif -%}
{%- endfor -%}
{%- endif -%}<end_of_turn>
{% endfor -%}
{%- if add_generation_prompt -%}<start_of_turn>model
{% endif -%}"""
"""As Gemma 3's."""
SHOWN = "<|vision|><image><|/vision|>"
SPECIAL = ("<|im_start|>", "<|im_end|>", "<end_of_utterance>", "<start_of_turn>", "<end_of_turn>", "</s>", "<image>")
TEMPLATES = {"both": BOTH, "only parts": ONLY_PARTS, "images first": IMAGES_FIRST, "trimmed": TRIMMED}
ENDS = {"both": "<|im_end|>", "only parts": "<end_of_utterance>", "images first": "</s>", "trimmed": "<end_of_turn>"}
CHAT = (
    said("user", IMAGE, "What is it?"),
    said("assistant", "A cat."),
    said("user", "And", IMAGE, "this?"),
    said("assistant", "A dog."),
)


def template_of(source: str) -> ChatTemplate:
    return ChatTemplate(source, (("bos_token", "<bos>"),), None, SPECIAL)


def render(
    source: str,
    messages: Any,
    *,
    num_images: int = 2,
    completion_index: int | None = None,
    is_held_out: bool = False,
    **config: Any,
) -> RenderedRow:
    tokens = ImageTokens(ProcessorRef.model_construct(), "<image>", (7,), ("<image>",))
    renderer = RowRenderer(ChatConfig(**config), template_of(source), "s", tokens)
    example = orjson.dumps(Conversation(tuple(messages), completion_index)).decode()
    return renderer.render(example, is_held_out=is_held_out, num_images=num_images)


def learned(row: RenderedRow) -> list[str]:
    return [row.text[start:end] for start, end in zip(row.spans[::2], row.spans[1::2], strict=True)]


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_assistants_turns_are_learned(name: str) -> None:
    end = ENDS[name]
    lead = " " if name == "only parts" else ""  # its generation prompt ends before the space
    expected = [f"{lead}A cat.{end}", f"{lead}A dog.{end}"]
    assert learned(render(TEMPLATES[name], CHAT, assistant_only_loss=True)) == expected
    assert learned(render(TEMPLATES[name], CHAT, train_on="last")) == expected[1:]


@pytest.mark.parametrize("name", TEMPLATES)
def test_weights_are_those_of_the_turns(name: str) -> None:
    messages = (CHAT[0], {**CHAT[1], "weight": 0.5}, *CHAT[2:])
    row = render(TEMPLATES[name], messages)
    assert row.span_weights == [0.5, 1.0]
    assert [part.strip() for part in learned(row)] == [f"A cat.{ENDS[name]}", f"A dog.{ENDS[name]}"]


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_completion_begins_behind_the_images_of_its_prompt(name: str) -> None:
    row = render(TEMPLATES[name], CHAT, completion_index=3)
    (completion,) = learned(row)
    assert completion.strip() == f"A dog.{ENDS[name]}"
    assert row.text[: row.spans[0]].count("<image>") == 2


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_held_out_row_asks_with_all_its_images(name: str) -> None:
    row = render(TEMPLATES[name], CHAT, is_held_out=True)
    assert row.reference == "A dog."
    assert row.prompt is not None
    assert row.text.startswith(row.prompt)
    assert row.prompt.count("<image>") == 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "both",
            ["<|vision|><image><|/vision|>What is it?<|im_end|>", "And<|vision|><image><|/vision|>this?<|im_end|>"],
        ),
        ("only parts", ["What is it?<end_of_utterance>", "And<image>this?<end_of_utterance>"]),
        ("trimmed", ["<image>What is it?<end_of_turn>", "And<image>this?<end_of_turn>"]),
    ],
)
def test_turns_of_the_user_can_be_learned(name: str, expected: list[str]) -> None:
    assert learned(render(TEMPLATES[name], CHAT, train_on_roles=("user",))) == expected


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_data_spells_is_no_image(name: str) -> None:
    row = render(TEMPLATES[name], (said("user", IMAGE, "an <image> tag"), said("assistant", "<image>")), num_images=1)
    assert row.literals is not None
    starts = row.literals[::2]
    assert [row.text[start:end] for start, end in zip(starts, row.literals[1::2], strict=True)] == ["<image>"] * 2
    assert row.text.count("<image>") == 3
    assert row.text.index("<image>") not in starts


@pytest.mark.parametrize(
    ("source", "written"), [(PLAIN_CHATML, "reads only text"), (BOTH.replace("<image>", ""), "0 of 2")]
)
def test_a_template_that_does_not_write_images_refuses_the_row(source: str, written: str) -> None:
    with pytest.raises(TemplateRefusedError, match=written):
        render(source, CHAT)


def test_contents_with_images_are_predicted_without_rendering_beginnings() -> None:
    grammar = Grammar(template_of(BOTH))
    assert grammar.image == SHOWN
    assert Rendering.of(grammar, Conversation(CHAT)).fit is not None


@pytest.mark.parametrize(("source", "written"), [(BOTH, SHOWN), (IMAGES_FIRST, "<image>"), (BLIND, "<image>")])
def test_a_mark_in_plain_text_becomes_what_the_template_writes(source: str, written: str) -> None:
    tokens = ImageTokens(ProcessorRef.model_construct(), "<image>", (7,), ("<image>",))
    example = TextExample("An <image>:", " cat", True)
    assert with_placeholders(example, 1, tokens, Grammar(template_of(source)).image) == example
    marks = ImageTokens(tokens.processor, "<vis>", (7,), ("<vis>",))
    shown = with_placeholders(example, 1, marks, Grammar(template_of(source.replace("<image>", "<vis>"))).image)
    assert shown.prompt == f"An {written.replace('<image>', '<vis>')}:"


@pytest.mark.parametrize("source", [ONLY_PARTS, IMAGES_FIRST])
def test_texts_are_predicted_for_a_template_that_reads_only_parts(source: str) -> None:
    grammar = Grammar(template_of(source))
    messages = with_readable_contents(grammar, (said("user", "a"), said("assistant", "b")))
    assert Rendering.of(grammar, Conversation(messages)).fit is not None


PART = st.one_of(
    st.just(IMAGE), st.builds(lambda words: {"type": "text", "text": words}, st.text("ab <.\n", max_size=5))
)


@given(
    st.sampled_from(sorted(TEMPLATES)),
    st.lists(st.tuples(st.lists(PART, min_size=1, max_size=4), st.text("xyz", min_size=1, max_size=5)), min_size=1),
)
def test_spans_are_what_was_said(name: str, turns: list[Any]) -> None:
    """Whatever stands before it, and however many images."""
    messages = [message for parts, answer in turns for message in (said("user", *parts), said("assistant", answer))]
    num_images = sum(part is IMAGE or part == IMAGE for parts, _ in turns for part in parts)
    row = render(TEMPLATES[name], messages, num_images=num_images, assistant_only_loss=True)
    assert [part.strip() for part in learned(row)] == [answer + ENDS[name] for _, answer in turns]
    assert math.prod(len(part) for part in learned(row))
