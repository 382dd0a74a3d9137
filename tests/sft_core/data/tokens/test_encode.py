"""The kernel: from texts and spans to ids and masks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from sft_core.data.chat.template import ChatTemplate
from sft_core.data.tokens import Encoder, MaskedTokens, TextRows, encoder_of
from sft_core.pretrained.tokenizer import TokenizerRef

from ..chat.templates import CHATML

BOS, EOS = 10, 11
VOCABULARY = {**{letter: number for number, letter in enumerate("abcdef")}, "bc": 6, "<s>": BOS, "</s>": EOS}


def letters(
    template: str | None = None,
    bos: int | None = BOS,
    eos: int | None = EOS,
    normalizer: normalizers.Normalizer | None = None,
) -> Encoder:
    """One token a letter, but `bc` is one; `template` is what the tokenizer writes around a text by itself."""
    backend = Tokenizer(models.BPE(VOCABULARY, [("b", "c")]))
    backend.add_special_tokens(["<s>", "</s>"])
    backend.decoder = decoders.Fuse()
    if template:
        backend.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[("<s>", BOS), ("</s>", EOS)]
        )
    if normalizer:
        backend.normalizer = normalizer
    return Encoder.of(backend, bos, eos)


def encode(encoder: Encoder, text: str, spans: list[int], wants_special_tokens: bool = True) -> MaskedTokens:
    return encoder.encode(TextRows.of([text], [spans], wants_special_tokens))[0][0]


def prompt_ids(encoder: Encoder, text: str, wants_special_tokens: bool = True) -> list[int]:
    return encoder.encode(TextRows.of([text], [[]], wants_special_tokens), is_open=True)[0][0].input_ids


def learned(encoder: Encoder, text: str, spans: list[int], wants_special_tokens: bool = True) -> str:
    """What the masked-in tokens say."""
    tokens = encode(encoder, text, spans, wants_special_tokens)
    ids = [token for token, is_target in zip(tokens.input_ids, tokens.loss_mask, strict=True) if is_target]
    return encoder.backend.decode(ids, skip_special_tokens=False)


@pytest.fixture(scope="module")
def byte_level(tokenizer_ref: TokenizerRef) -> Encoder:
    return encoder_of(tokenizer_ref)


def test_a_span_becomes_a_mask_and_the_end_token_belongs_to_a_span_that_reaches_the_end() -> None:
    assert encode(letters(), "adef", [2, 4]) == MaskedTokens([0, 3, 4, 5, EOS], [0, 0, 1, 1, 1])


def test_the_end_token_is_no_target_behind_a_span_that_stops_earlier() -> None:
    assert encode(letters(), "adef", [1, 3]) == MaskedTokens([0, 3, 4, 5, EOS], [0, 1, 1, 0, 0])


def test_several_spans_become_one_mask() -> None:
    assert encode(letters(), "adefad", [0, 1, 2, 4], False) == MaskedTokens([0, 3, 4, 5, 0, 3], [1, 0, 1, 1, 0, 0])


@pytest.mark.parametrize("spans", [[], [2, 2]])
def test_an_empty_span_has_no_token(spans: list[int]) -> None:
    assert encode(letters(), "adef", spans).loss_mask == [0, 0, 0, 0, 0]


def test_an_empty_completion_teaches_the_end_alone() -> None:
    assert encode(letters(), "ad", [2, 2]) == MaskedTokens([0, 3, EOS], [0, 0, 1])


def test_an_empty_text_is_its_end_token() -> None:
    assert encode(letters(), "", [0, 0]).input_ids == [EOS]


def test_a_token_that_reaches_over_the_start_of_a_span_is_a_target() -> None:
    assert encode(letters(), "abcd", [2, 4]) == MaskedTokens([0, 6, 3, EOS], [0, 1, 1, 1])


@pytest.mark.parametrize("template", [None, "<s> $A", "$A </s>", "<s> $A </s>"])
@pytest.mark.parametrize("text", ["ad", "ad</s>", "<s>ad", "<s>ad</s>"])
def test_there_is_exactly_one_end_token_and_at_most_one_beginning(template: str | None, text: str) -> None:
    tokens = encode(letters(template), text, [0, len(text)])
    begins = [BOS] if text.startswith("<s>") or (template or "").startswith("<s>") else []
    assert tokens.input_ids == [*begins, 0, 3, EOS]
    assert tokens.loss_mask[-3:] == [1, 1, 1]


@pytest.mark.parametrize("template", [None, "<s> $A </s>"])
def test_an_end_token_inside_the_text_stays(template: str | None) -> None:
    ids = encode(letters(template), "a</s>d", [0, 6]).input_ids
    assert ids[ids.index(0) :] == [0, EOS, 3, EOS]


def test_two_beginnings_that_the_text_itself_has_stay() -> None:
    assert encode(letters(), "<s><s>ad", [0, 8]).input_ids == [BOS, BOS, 0, 3, EOS]


@pytest.mark.parametrize("template", ["$A </s>", "<s> $A </s>"])
def test_an_end_token_that_the_tokenizer_writes_follows_the_same_rule(template: str) -> None:
    assert encode(letters(template), "adef", [1, 3]).loss_mask[-4:] == [1, 1, 0, 0]
    assert encode(letters(template), "adef", [1, 4]).loss_mask[-4:] == [1, 1, 1, 1]


def test_a_beginning_token_that_the_tokenizer_writes_is_no_target() -> None:
    assert encode(letters("<s> $A"), "ad", [0, 2]) == MaskedTokens([BOS, 0, 3, EOS], [0, 1, 1, 1])


@pytest.mark.parametrize("template", [None, "$A </s>"])
def test_the_end_token_of_a_prompt_is_not_taken_for_the_rows_own(template: str | None) -> None:
    """Before an empty completion: what is learned is to stop again, as in TRL, and not the prompt's last token."""
    assert encode(letters(template), "ad</s>", [6, 6]) == MaskedTokens([0, 3, EOS, EOS], [0, 0, 0, 1])


def test_a_tokenizer_without_an_end_token_gets_none() -> None:
    assert encode(letters(eos=None), "ad", [0, 2]) == MaskedTokens([0, 3], [1, 1])


@pytest.mark.parametrize("template", [None, "<s> $A </s>"])
def test_a_rendered_conversation_gets_no_special_tokens(template: str | None) -> None:
    assert encode(letters(template), "ad", [0, 2], False) == MaskedTokens([0, 3], [1, 1])
    assert encode(letters(template), "<s>ad</s>", [3, 9], False) == MaskedTokens([BOS, 0, 3, EOS], [0, 1, 1, 1])


@pytest.mark.parametrize(
    ("template", "wants_special_tokens", "expected"),
    [
        (None, True, [0, 3]),
        ("<s> $A </s>", True, [BOS, 0, 3]),
        ("$A </s>", True, [0, 3]),
        ("<s> $A </s>", False, [0, 3]),
    ],
)
def test_a_prompt_is_left_open(template: str | None, wants_special_tokens: bool, expected: list[int]) -> None:
    assert prompt_ids(letters(template), "ad", wants_special_tokens) == expected


def test_a_prompt_that_brings_its_own_beginning_has_one() -> None:
    assert prompt_ids(letters("<s> $A </s>"), "<s>ad") == [BOS, 0, 3]


@pytest.mark.parametrize("template", [None, "$A </s>"])
def test_an_end_token_that_the_prompt_itself_has_stays(template: str | None) -> None:
    assert prompt_ids(letters(template), "ad</s>") == [0, 3, EOS]


def test_rows_of_a_batch_do_not_touch_each_other() -> None:
    rows = [("a", [0, 1]), ("def", [1, 2]), ("", [])]
    together, _ = letters().encode(TextRows.of(*zip(*rows, strict=True), True))
    assert list(together) == [encode(letters(), text, spans) for text, spans in rows]


def test_no_rows_are_no_tokens() -> None:
    assert len(letters().encode(TextRows.of([], [], True))[0]) == 0


def test_characters_that_the_tokenizer_drops_shift_nothing() -> None:
    encoder = letters(normalizer=normalizers.Replace("x", ""))
    assert encode(encoder, "xaxdxexfx", [4, 9]) == MaskedTokens([0, 3, 4, 5, EOS], [0, 0, 1, 1, 1])
    assert encode(encoder, "axd", [1, 2], False) == MaskedTokens([0, 3], [0, 0])


def test_a_normalizer_that_lowers_letters_shifts_nothing() -> None:
    encoder = letters(normalizer=normalizers.Lowercase())
    assert encode(encoder, "ADef", [1, 2], False) == MaskedTokens([0, 3, 4, 5], [0, 1, 0, 0])


def test_a_leading_space_belongs_to_the_completion(byte_level: Encoder) -> None:
    assert learned(byte_level, "The sum is five.", [7, 16]) == " is five.<|im_end|>"


def test_a_space_that_the_prompt_ends_with_makes_the_next_token_straddle(byte_level: Encoder) -> None:
    assert learned(byte_level, "The sum is five.", [8, 16]) == " is five.<|im_end|>"


def test_a_span_of_one_space_has_the_token_that_holds_it(byte_level: Encoder) -> None:
    assert learned(byte_level, "The sum", [3, 4], False) == " sum"


@pytest.mark.parametrize("emoji", ["\U0001f600", "👩‍🚀", "ß", "漢字", "e\u0301"])
def test_a_character_of_several_tokens_is_a_target_as_a_whole(byte_level: Encoder, emoji: str) -> None:
    text = f"a{emoji}b"
    end = 1 + len(emoji)
    assert learned(byte_level, text, [1, end], False) == emoji
    assert learned(byte_level, text, [0, 1], False) == "a"
    assert learned(byte_level, text, [end, end + 1], False) == "b"
    assert learned(byte_level, text, [1, end + 1]) == f"{emoji}b<|im_end|>"


def test_special_tokens_of_the_text_can_be_targets(byte_level: Encoder) -> None:
    text = "<|im_start|>assistant\nfive<|im_end|>\n"
    assert learned(byte_level, text, [22, 36], False) == "five<|im_end|>"


def test_an_encoder_is_made_once(tokenizer_ref: TokenizerRef) -> None:
    assert encoder_of(tokenizer_ref) is encoder_of(tokenizer_ref.model_copy())


def test_truncation_and_padding_of_the_tokenizer_do_not_reach_the_encoder(byte_level: Encoder) -> None:
    assert (byte_level.backend.truncation, byte_level.backend.padding) == (None, None)


def test_a_metaspace_tokenizer_keeps_spaces_in_its_offsets() -> None:
    words = {"▁a": 0, "▁d": 1, "<unk>": 2, "</s>": 3}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Split(Regex("▁[a-z]"), "isolated")]
    )
    assert encode(Encoder.of(backend, None, 3), "a d", [1, 3]) == MaskedTokens([0, 1, 3], [0, 1, 1])


ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\uf8fe\uf8ff"), max_size=25)


@given(prompt=ANY_TEXT, completion=ANY_TEXT)
def test_a_completion_is_learned_whole_and_nothing_before_its_first_token(
    byte_level: Encoder, prompt: str, completion: str
) -> None:
    tokens = encode(byte_level, prompt + completion, [len(prompt), len(prompt + completion)])
    assert len(tokens.input_ids) == len(tokens.loss_mask)
    first = tokens.loss_mask.index(1)
    context, answer = (
        byte_level.backend.decode(ids, skip_special_tokens=False)
        for ids in (tokens.input_ids[:first], tokens.input_ids[first:])
    )
    assert tokens.loss_mask[first:] == [1] * (len(tokens.loss_mask) - first)
    assert answer.endswith(f"{completion}<|im_end|>")
    assert prompt.startswith(context.rstrip("\ufffd"))


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), ANY_TEXT), min_size=1, max_size=5))
def test_what_is_learned_of_any_conversation_decodes_to_the_assistants_words(
    byte_level: Encoder, turns: list[tuple[str, str]]
) -> None:
    messages = [{"role": role, "content": content} for role, content in turns]
    text, spans = ChatTemplate(CHATML, ()).render(messages)
    expected = "".join(f"{content}<|im_end|>" for role, content in turns if role == "assistant")
    assert learned(byte_level, text, [position for span in spans for position in span], False) == expected
