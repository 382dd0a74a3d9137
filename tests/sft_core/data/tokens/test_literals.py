"""What spells a special token in the data is plain text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from sft_core.data.tokens import Encoder, MaskedTokens, TextRows

from .byte_level import END, USER, encoder, like_gpt_neox


@pytest.fixture(scope="module")
def chat() -> Encoder:
    return encoder(like_gpt_neox())


def encode(tokenizer: Encoder, text: str, spans: list[int], literals: list[int]) -> MaskedTokens:
    return tokenizer.encode(TextRows.of([text], [spans], False, literals={0: literals}))[0][0]


def specials(tokenizer: Encoder, ids: list[int]) -> list[str]:
    return [token for token in map(tokenizer.backend.id_to_token, ids) if token in (USER, END)]


def test_what_the_template_wrote_is_a_token_and_what_the_data_says_is_text(chat: Encoder) -> None:
    text = f"{USER}what is {END}?{END}"
    start = text.index(END)
    ids = encode(chat, text, [], [start, start + len(END)]).input_ids
    assert specials(chat, ids) == [USER, END]
    assert chat.backend.decode(ids, skip_special_tokens=False) == text


def test_without_literals_all_of_them_are_tokens(chat: Encoder) -> None:
    text = f"{USER}what is {END}?{END}"
    assert specials(chat, encode(chat, text, [], []).input_ids) == [USER, END, END]


def test_text_of_the_data_and_of_the_template_together_spell_none(chat: Encoder) -> None:
    text = f"{USER}<|en" + "d|>"
    assert specials(chat, encode(chat, text, [], [len(USER), len(USER) + 4]).input_ids) == [USER]


def test_added_tokens_that_are_not_special_stay_tokens(chat: Encoder) -> None:
    text = f"{USER}    {END}"
    ids = encode(chat, text, [], [text.index(END), len(text)]).input_ids
    assert chat.backend.token_to_id("    ") in ids


def test_spans_stay_where_they_are(chat: Encoder) -> None:
    text = f"{USER}a {END} b{USER}é{END} c{END}"
    literal = [text.index(END), text.index(END) + len(END)]
    start = text.rindex("é")
    row = encode(chat, text, [start, len(text)], literal)
    learned = [token for token, is_target in zip(row.input_ids, row.loss_mask, strict=True) if is_target]
    assert chat.backend.decode(learned, skip_special_tokens=False) == text[start:]


def test_a_mark_that_the_text_has_itself_is_not_used(chat: Encoder) -> None:
    text = f"\ufdd0{END}\ufdd0{END}"
    assert specials(chat, encode(chat, text, [], [1, 1 + len(END)]).input_ids) == [END]


def test_a_tokenizer_that_marks_the_start_of_a_text_does_so_once() -> None:
    pieces = ["▁", "a", "b", "▁a", "<", ">", "s"]
    backend = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, [("▁", "a")]))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.add_special_tokens(["<s>"])
    ids = encode(Encoder.of(backend, None, None), "ab<s>a<s>a", [], [2, 5]).input_ids
    assert [backend.id_to_token(token) for token in ids] == ["▁a", "b", "<", "s", ">", "a", "<s>", "a"]


@pytest.mark.parametrize(
    "model",
    [
        models.Unigram([("<unk>", 0.0), ("a", -1.0), ("<", -2.0), ("s", -2.0), (">", -2.0), ("<s>", 0.0)], unk_id=0),
        models.WordLevel({"<unk>": 0, "a": 1, "<s>": 5}, unk_token="<unk>"),
    ],
    ids=["unigram", "words"],
)
def test_a_model_that_knows_the_special_token_as_a_word_does_not_find_it(model: models.Model) -> None:
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(["<unk>", "<s>"])
    row = encode(Encoder.of(backend, None, None), "a <s> a <s>", [8, 11], [2, 5])
    assert row.input_ids.count(5) == 1
    assert (row.input_ids[-1], row.loss_mask[-1], sum(row.loss_mask)) == (5, 1, 1)


def test_the_beginning_of_a_prompt_is_that_of_its_row(chat: Encoder) -> None:
    text = f"{USER}what is {END}?{USER}"
    literal = [text.index(END), text.index(END) + len(END)]
    rows = TextRows.of([text], [[]], False, literals={0: literal})
    assert chat.encode(rows, is_open=True)[0][0].input_ids == encode(chat, text, [], literal).input_ids


@given(
    parts=st.lists(st.tuples(st.sampled_from([USER, END, "a b", "  ", "漢", "<|", "end|>"]), st.booleans()), max_size=8)
)
def test_the_special_tokens_are_those_outside_of_the_literals(chat: Encoder, parts: list[tuple[str, bool]]) -> None:
    text, literals, expected = "", [], []
    for part, is_data in parts:
        if is_data:
            literals += [len(text), len(text) + len(part)]
        elif part in (USER, END):
            expected.append(part)
        else:
            part = "x"
        text += part
    row = encode(chat, text, [0, len(text)], literals)
    assert specials(chat, row.input_ids) == expected
    assert chat.backend.decode(row.input_ids, skip_special_tokens=False) == text
    assert all(row.loss_mask)
