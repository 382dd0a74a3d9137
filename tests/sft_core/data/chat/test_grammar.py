"""Spans by prediction: exact for random conversations of every bundled template, and one rendering each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.data.chat.choose import BUNDLED
from sft_core.data.chat.grammar import Grammar
from sft_core.data.chat.incremental import incremental_span
from sft_core.data.chat.spans import Rendering, turn_spans
from sft_core.data.chat.template import ChatTemplate, TemplateRefusedError
from sft_core.store.records import Conversation

from . import templates
from .families import FAMILIES, TOKENS, Talk, judged

SPECIALS = ("</s>", "<s>", "<|end|>", "<|eot_id|>", "<|im_end|>", "<|im_start|>", "<|return|>", "<|user|>")
CONTENT = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\uf8fe\uf8ff"), max_size=12),
    st.lists(
        st.sampled_from(["", " ", "\n", "a", "<|im_end|>", "<|im_start|>user\n", "</s>", "[/INST]", "<think>", "é😀"]),
        max_size=4,
    ).map("".join),
)
SPEAKERS = st.lists(st.sampled_from(["user", "assistant"]), min_size=1, max_size=6)


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    roles = [*(["system"] if draw(st.booleans()) else []), *draw(SPEAKERS)]
    return [(role, draw(CONTENT)) for role in roles]


def conversation_of(talk: Talk) -> Conversation:
    return Conversation(tuple({"role": role, "content": content} for role, content in talk))


def assistants(talk: Talk) -> list[int]:
    return [index for index, (role, _) in enumerate(talk) if role == "assistant"]


BUNDLED_GRAMMARS = {
    family: Grammar(ChatTemplate((BUNDLED / f"{family}.jinja").read_text(), TOKENS, None, SPECIALS))
    for family in FAMILIES
}
OTHERS = [
    *("ALTERNATING", "BRACKETS", "DEEPSEEK", "DEFAULT_SYSTEM", "FORGETFUL_THINKING", "GLM", "LATE_SYSTEM", "LLAMA2"),
    *("OPENING", "PLAIN_CHATML", "PROMISING", "RETURNING", "SEPARATED", "STRIPPING"),
]
OTHER_GRAMMARS = {name: Grammar(ChatTemplate(getattr(templates, name), TOKENS, None, SPECIALS)) for name in OTHERS}
GRAMMARS = {**BUNDLED_GRAMMARS, **OTHER_GRAMMARS}


def test_every_bundled_template_has_its_judge() -> None:
    assert sorted(FAMILIES) == sorted(path.stem for path in BUNDLED.glob("*.jinja"))


@pytest.mark.parametrize("family", FAMILIES)
@given(talk=talks())
def test_prediction_finds_exactly_what_the_assistant_says(family: str, talk: Talk) -> None:
    rendering = Rendering.of(BUNDLED_GRAMMARS[family], conversation_of(talk))
    text, spans = judged(family, talk)
    assert rendering.text == text
    assert rendering.fit is not None
    assert rendering.fit.spans(assistants(talk)) == spans


@pytest.mark.parametrize("name", GRAMMARS)
@given(talk=talks())
def test_prediction_and_rendering_of_beginnings_agree_wherever_both_can_tell(name: str, talk: Talk) -> None:
    grammar = GRAMMARS[name]
    try:
        rendering = Rendering.of(grammar, conversation_of(talk))
    except TemplateRefusedError:
        return
    for index in range(len(talk)):
        predicted = rendering.fit.spans([index]) if rendering.fit else None
        try:
            told = incremental_span(grammar, rendering.conversation, rendering.text, index)
        except TemplateRefusedError:
            continue
        assert predicted in (None, [told])


def said(source: str, *contents: str, first: str = "user") -> list[str]:
    """What the assistant says where both speak in turns (after a system message, if that is the first)."""
    roles = ["system"] * (first == "system") + ["user", "assistant"] * len(contents)
    talk = list(zip(roles, contents, strict=False))
    rendering = Rendering.of(Grammar(ChatTemplate(source, TOKENS, None, SPECIALS)), conversation_of(talk))
    assert rendering.fit is not None
    return [rendering.text[slice(*span)] for span in rendering.fit.spans(assistants(talk)) or []]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (templates.ALTERNATING, ["4</s>", "6</s>"]),
        (templates.DEEPSEEK, ["4</s>", "6</s>"]),
        (templates.DEFAULT_SYSTEM, ["4</s>", "6</s>"]),
        (templates.GLM, ["\n4", "\n6"]),
        (templates.LATE_SYSTEM, [" 4</s>", " 6</s>"]),
        (templates.LLAMA2, [" 4 </s>", " 6 </s>"]),
        (templates.OPENING, ["</think>4</s>", "</think>6</s>"]),
        (templates.PLAIN_CHATML, ["4<|im_end|>", "6<|im_end|>"]),
        (templates.PROMISING, ["4;", "6;"]),
        (templates.RETURNING, ["<|message|>4<|end|>", "<|message|>6<|return|>"]),
        (templates.SEPARATED, ["4", "6"]),
        (templates.STRIPPING, ["4\n\n", "6\n\n"]),
    ],
)
def test_templates_of_all_kinds_are_predicted(source: str, expected: list[str]) -> None:
    assert said(source, "2+2?", "4", "3+3?", "6") == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (templates.LATE_SYSTEM, [" 4</s>", " 6</s>"]),
        (templates.LLAMA2, [" 4 </s>", " 6 </s>"]),
        (templates.DEFAULT_SYSTEM, ["4</s>", "6</s>"]),
    ],
)
def test_a_system_message_may_stand_anywhere(source: str, expected: list[str]) -> None:
    assert said(source, "Be brief.", "2+2?", "4", "3+3?", "6", first="system") == expected


def test_what_the_template_strips_is_predicted() -> None:
    assert said(templates.STRIPPING, " 2+2?\n", "\n\n 4 \n", "\u2003", "\t") == ["4\n\n", "\n\n"]
    assert said(templates.LLAMA2, "a ", " 4\u2003") == [" 4 </s>"]


def test_where_turns_end_may_be_impossible_to_tell() -> None:
    assert said(templates.MARKLESS_END, "2+2?", "4", "3+3?", "6") == []


class CountedTemplate(ChatTemplate):
    """Counts its renderings."""

    renderings = 0

    def render(self, *arguments, **options):  # type: ignore[no-untyped-def]
        CountedTemplate.renderings += 1
        return super().render(*arguments, **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_conversation_of_known_roles_is_rendered_once(family: str) -> None:
    grammar = Grammar(CountedTemplate((BUNDLED / f"{family}.jinja").read_text(), TOKENS, None, SPECIALS))
    for contents in (["a", "b", "c", "d"], ["2+2?", "4", "3+3?", "6"]):
        CountedTemplate.renderings = 0
        rendering = Rendering.of(grammar, conversation_of(list(zip(["user", "assistant"] * 2, contents, strict=True))))
        assert len(turn_spans(rendering, [1, 3])) == 2
    assert CountedTemplate.renderings == 1


def test_what_the_template_never_mentions_does_not_matter() -> None:
    grammar = GRAMMARS["PLAIN_CHATML"]
    for key, is_predicted in (("id", True), ("weight", True), ("message", False)):  # "message" stands in the source
        messages = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b", key: 1})
        rendering = Rendering.of(grammar, Conversation(messages))
        assert (rendering.fit is not None) == is_predicted
        assert [rendering.text[slice(*span)] for _, span in turn_spans(rendering, [1])] == ["b<|im_end|>"]


def test_tools_and_arguments_have_layouts_of_their_own() -> None:
    source = "{{ tools | tojson if tools }}{{ tone }}{% for m in messages %}<{{ m.content }}>{% endfor %}"
    grammar = Grammar(ChatTemplate(source, TOKENS))
    for tools, tone in ((None, ""), (({"name": "add"},), "calm"), (({"name": "sub"},), "loud")):
        messages = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})
        rendering = Rendering.of(grammar, Conversation(messages, None, tools, {"tone": tone}))
        assert rendering.fit is not None
        assert rendering.text[slice(*(rendering.fit.spans([1]) or [(0, 0)])[0])] == "<b>"
