"""Where labels differ from TRL 1.16, TRL is wrong: each mistake on the fewest tokens, what the user wrote as the judge.

Real data has all of them: prompts that end in a blank line, answers that end in a space. TRL says at
most once that there is something, and never in which rows.
"""

from pathlib import Path
from typing import Any

import pytest
import trl
from transformers import PreTrainedTokenizerFast

from .families import CHATML, LLAMA_3, Family, TokenizerFor
from .our_side import LabelledRow, Prepared, prepare_rows
from .tiny_tokenizer import save_word_tokenizer
from .trl_side import trl_rows

pytestmark = pytest.mark.parity

TRL_TEMPLATES = Path(trl.__file__).parent / "chat_templates"
CONTENT_ONLY = """\
{%- for message in messages %}
    {{- '[' + message.role + ']' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}{{- message.content }}{%- endgeneration %}
    {%- else %}
        {{- message.content }}
    {%- endif %}
    {{- eos_token }}
{%- endfor %}"""
"""Marks what the assistant says and nothing else: of `[user]2+2?<|endoftext|>[assistant]4<|endoftext|>` the `4`."""


def learned(row: LabelledRow, tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """The tokens that the loss looks at, each as text."""
    return [tokenizer.decode([token]) for token, label in list(zip(*row, strict=True))[1:] if label != -100]


def chat(*contents: str) -> dict[str, Any]:
    return {
        "messages": [
            {"role": ("user", "assistant")[turn % 2], "content": content} for turn, content in enumerate(contents)
        ]
    }


def test_trl_learns_the_blank_line_that_ends_a_prompt(
    tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    """Alone, the prompt ends in the one token "⏎⏎", with an answer after it in "⏎" "⏎".

    TRL takes the tokens that the two have in common for the prompt, and all others for the completion.
    """
    rows = [{"prompt": "Answer:\n\n", "completion": "4"}]
    ours, theirs = prepare_rows(rows, tokenizer_folder, tmp_path).rows[0], trl_rows(rows, tokenizer, tmp_path)[0]
    assert ours[0] == theirs[0]
    assert learned(ours, tokenizer) == ["4", "<|endoftext|>"]
    assert learned(theirs, tokenizer) == ["\n", "\n", "4", "<|endoftext|>"]


def test_trl_learns_prompt_characters_before_a_token_that_reaches_over_the_boundary(
    tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    """Alone " hello", with "x" after it " hell" "ox": "ox" holds the completion's start and is learned, " hell" not."""
    rows = [{"prompt": "Say hello", "completion": "x"}]
    ours, theirs = prepare_rows(rows, tokenizer_folder, tmp_path).rows[0], trl_rows(rows, tokenizer, tmp_path)[0]
    assert ours[0] == theirs[0]
    assert learned(ours, tokenizer) == ["ox", "<|endoftext|>"]
    assert learned(theirs, tokenizer) == [" hell", "ox", "<|endoftext|>"]


def test_trl_keeps_a_row_of_one_token_that_has_no_target(
    tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    """Nothing predicts the first token of a row, so a row of one token teaches nothing."""
    rows = [{"text": "<|endoftext|>"}, {"text": "hello"}]
    ours, theirs = prepare_rows(rows, tokenizer_folder, tmp_path), trl_rows(rows, tokenizer, tmp_path)
    assert learned(theirs[0], tokenizer) == []
    assert ours.rows == {1: theirs[1]}
    assert [(rejection.row, rejection.reason) for rejection in ours.rejections] == [
        (0, "no token is a target of the loss")
    ]


def test_trl_learns_answers_that_begin_with_a_space_as_we_do(
    tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    """Byte-level offsets leave out leading spaces. Before 5.24, transformers found no token there and stopped."""
    rows = [chat("a?", "one", "b?", " two", "c?", "three")]
    ours, theirs = _assistant_only(rows, tokenizer, tokenizer_folder, tmp_path)
    assert "".join(learned(ours[0], tokenizer)) == "one twothree"
    assert ours[0] == theirs[0]


def test_trl_learns_an_only_answer_that_begins_with_a_space_as_we_do(
    tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    """Before transformers 5.24, such a row had no assistant tokens for TRL, and TRL stopped the whole run."""
    rows = [chat("a?", "one"), chat("b?", " two")]
    ours, theirs = _assistant_only(rows, tokenizer, tokenizer_folder, tmp_path)
    assert ["".join(learned(row, tokenizer)) for row in ours.values()] == ["one", " two"]
    assert ours == theirs


def test_trl_leaves_out_the_space_that_ends_an_answer(
    tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    """The offsets of a token that is only a space are empty, so transformers sees no overlap with the answer's span.

    Before 5.24, transformers marked everything that follows such a token (transformers#47325).
    """
    rows = [chat("a?", "one ", "b?", "two")]
    ours, theirs = _assistant_only(rows, tokenizer, tokenizer_folder, tmp_path)
    assert "".join(learned(ours[0], tokenizer)) == "one two"
    assert "".join(learned(theirs[0], tokenizer)) == "onetwo"


def test_trl_learns_every_token_of_an_emoji_that_ends_an_answer_as_we_do(
    tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    """The character is three tokens. Before 5.24, transformers marked only the first of them."""
    rows = [chat("a?", "one🧮")]
    ours, theirs = _assistant_only(rows, tokenizer, tokenizer_folder, tmp_path)
    assert tokenizer.decode([label for label in ours[0][1] if label != -100]) == "one🧮"
    assert ours[0] == theirs[0]


def test_trl_ends_a_text_twice_where_the_tokenizer_ends_it_already(tmp_path: Path) -> None:
    folder = tmp_path / "tokenizer"
    tokenizer = save_word_tokenizer(folder, "<s> $A </s>")
    rows = [{"prompt": "two and", "completion": " two"}]
    ours, theirs = prepare_rows(rows, folder, tmp_path).rows[0], trl_rows(rows, tokenizer, tmp_path)[0]
    assert tokenizer.convert_ids_to_tokens(theirs[0]) == ["<s>", "two", "and", "two", "</s>", "</s>"]
    assert tokenizer.convert_ids_to_tokens(ours[0]) == ["<s>", "two", "and", "two", "</s>"]
    assert learned(ours, tokenizer) == ["two", "</s>"]


def test_trl_begins_a_text_twice_that_has_its_beginning_token_already(tmp_path: Path) -> None:
    folder = tmp_path / "tokenizer"
    tokenizer = save_word_tokenizer(folder, "<s> $A")
    rows = [{"text": "<s> two"}]
    ours, theirs = prepare_rows(rows, folder, tmp_path).rows[0], trl_rows(rows, tokenizer, tmp_path)[0]
    assert tokenizer.convert_ids_to_tokens(theirs[0]) == ["<s>", "<s>", "two", "</s>"]
    assert tokenizer.convert_ids_to_tokens(ours[0]) == ["<s>", "two", "</s>"]


def test_trl_learns_the_blank_line_of_a_header(tokenizer_for: TokenizerFor, tmp_path: Path) -> None:
    """As for plain prompts: alone, the header of Llama 3 ends in the one token "⏎⏎", before a word in two."""
    family = Family("llama3_words_of_gpt2", LLAMA_3.template, LLAMA_3.markup)
    question, answer = chat("2+2?", "4")["messages"]
    ours, theirs, tokenizer = _of_family(
        family, {"prompt": [question], "completion": [answer]}, tokenizer_for, tmp_path
    )
    assert ours[0] == theirs[0]
    assert learned(ours, tokenizer) == ["4", "<|eot_id|>"]
    assert learned(theirs, tokenizer) == ["\n", "\n", "4", "<|eot_id|>"]


def test_trl_takes_markup_in_the_data_for_markup(tokenizer_for: TokenizerFor, tmp_path: Path) -> None:
    """So that whoever writes the data can end turns, and begin others. A recipe can ask for the same."""
    row = chat("a?", "Turns end with <|im_end|> here.")
    ours, theirs, tokenizer = _of_family(CHATML, row, tokenizer_for, tmp_path, assistant_only_loss=True)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert tokenizer.decode(ours[0]) == tokenizer.decode(theirs[0])
    assert (ours[1].count(end), theirs[1].count(end)) == (1, 2)
    assert "".join(learned(ours, tokenizer)) == "Turns end with <|im_end|> here.<|im_end|>"
    allowed = prepare_rows(
        [row],
        tokenizer_for(CHATML)[1],
        tmp_path / "allowed",
        chat_template=CHATML.our_template,
        chat={"assistant_only_loss": True},
        tokens={"allow_special_tokens_in_content": True},
    )
    assert allowed.rows[0] == theirs


def test_trl_learns_line_breaks_around_a_turn_of_qwen(tokenizer_for: TokenizerFor, tmp_path: Path) -> None:
    """Its copy of the template begins to mark within the header, which is given at inference, and ends behind the token
    at which generation stops."""
    family = Family("qwen2_5_of_trl", TRL_TEMPLATES / "qwen2_5.jinja", CHATML.markup)
    ours, theirs, tokenizer = _of_family(family, chat("2+2?", "4"), tokenizer_for, tmp_path, assistant_only_loss=True)
    assert ours[0] == theirs[0]
    assert learned(ours, tokenizer) == ["4", "<|im_end|>"]
    assert learned(theirs, tokenizer) == ["\n", "4", "<|im_end|>", "\n"]


def test_trl_trains_glm_on_a_text_that_its_template_does_not_write(tokenizer_for: TokenizerFor, tmp_path: Path) -> None:
    """GLM stops where the next header begins, and its template writes none after the last turn; TRL's copy writes one.

    We keep to the template and learn no header, and so no end: rows like this are counted, and a gate refuses many.
    """
    markup = ("[gMASK]", "<sop>", "<|user|>", "<|assistant|>")
    family = Family("glm4moe_of_trl", TRL_TEMPLATES / "glm4moe.jinja", markup)
    row = chat("2+2?", "4")
    ours, theirs, tokenizer = _of_family(family, row, tokenizer_for, tmp_path, assistant_only_loss=True)
    text = "[gMASK]<sop><|user|>\n2+2?<|assistant|>\n<think></think>\n4"
    assert tokenizer.decode(ours[0]) == text
    assert tokenizer.decode(theirs[0]) == text + "<|user|>"
    assert learned(theirs, tokenizer) == [*learned(ours, tokenizer), "<|user|>"]
    again = prepare_rows([row], tokenizer_for(family)[1], tmp_path / "again", chat_template=family.our_template)
    assert again.tokens.ends_with_stop.tolist() == [False]


def _of_family(
    family: Family, row: dict[str, Any], tokenizer_for: TokenizerFor, folder: Path, **chat_config: Any
) -> tuple[LabelledRow, LabelledRow, PreTrainedTokenizerFast]:
    """One row under a family's template."""
    tokenizer, tokenizer_folder = tokenizer_for(family)
    ours = prepare_rows([row], tokenizer_folder, folder, chat_template=family.our_template, chat=chat_config)
    return ours.rows[0], trl_rows([row], tokenizer, folder, **chat_config)[0], tokenizer


def _assistant_only(
    rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, folder: Path
) -> tuple[dict[int, LabelledRow], dict[int, LabelledRow]]:
    ours, theirs = (
        _our_assistant_only(rows, tokenizer_folder, folder).rows,
        _trl_assistant_only(rows, tokenizer, folder),
    )
    assert [ids for ids, _ in ours.values()] == [ids for ids, _ in theirs.values()]
    return ours, theirs


def _our_assistant_only(rows: list[dict[str, Any]], tokenizer_folder: Path, folder: Path) -> Prepared:
    return prepare_rows(rows, tokenizer_folder, folder, chat_template=CONTENT_ONLY, chat={"assistant_only_loss": True})


def _trl_assistant_only(
    rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerFast, folder: Path
) -> dict[int, LabelledRow]:
    tokenizer.chat_template = CONTENT_ONLY
    return trl_rows(rows, tokenizer, folder, assistant_only_loss=True)
