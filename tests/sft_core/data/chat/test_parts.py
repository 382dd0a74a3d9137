"""Contents in parts reach the templates that read them, and are joined for those that do not."""

import pytest

from sft_core.data.chat.grammar import Grammar
from sft_core.data.chat.parts import with_readable_contents
from sft_core.data.chat.template import ChatTemplate, TemplateRefusedError

from .templates import PLAIN_CHATML

READER = """{%- for message in messages %}
    {%- if message.content is string %}{{- message.content }}
    {%- else %}
        {%- for part in message.content %}{{- part.text if part.type == 'text' else '<image>' }}{% endfor %}
    {%- endif %}
{%- endfor %}"""
ONLY_PARTS = "{% for message in messages %}{% for part in message.content %}{{ part.text }}{% endfor %}{% endfor %}"
"""Writes nothing of a text, character for character."""
PRINTER = "{% for message in messages %}{{ message.content }}{% endfor %}"
"""Would print the list as Python writes it."""
TEXTS = {"role": "user", "content": [{"type": "text", "text": "2+"}, {"type": "text", "text": "2?"}]}
IMAGE = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}
PLAIN = {"role": "user", "content": "2+2?"}


def test_a_template_that_reads_parts_gets_them() -> None:
    assert with_readable_contents(Grammar(ChatTemplate(READER, ())), (TEXTS, IMAGE, PLAIN)) == (TEXTS, IMAGE, PLAIN)


def test_a_text_becomes_a_part_for_a_template_that_reads_only_parts() -> None:
    part = {"role": "user", "content": [{"type": "text", "text": "2+2?"}]}
    call = {"role": "assistant", "content": None}
    assert with_readable_contents(Grammar(ChatTemplate(ONLY_PARTS, ())), (PLAIN, IMAGE, call)) == (part, IMAGE, call)


@pytest.mark.parametrize("source", [PLAIN_CHATML, PRINTER])
def test_parts_of_text_are_one_text_for_any_other_template(source: str) -> None:
    assert with_readable_contents(Grammar(ChatTemplate(source, ())), (TEXTS, PLAIN)) == (PLAIN, PLAIN)


def test_an_image_is_refused_by_a_template_that_reads_only_text() -> None:
    with pytest.raises(TemplateRefusedError, match="the chat template reads only text"):
        with_readable_contents(Grammar(ChatTemplate(PLAIN_CHATML, ())), (IMAGE,))
