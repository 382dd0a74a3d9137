"""Where labels differ from TRL 1.16, TRL is wrong: each mistake on the fewest tokens, what the user wrote as the judge.

Real data has all of them: prompts that end in a blank line, answers that begin with a space or end in one. TRL says at
most once that there is something, and never in which rows.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from .our_side import Prepared, prepare, recipe_of
from .tiny_tokenizer import save_word_tokenizer
from .trl_side import LabelledRow, trl_rows

pytestmark = pytest.mark.parity

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


def ours_of(rows: list[dict[str, Any]], tokenizer_folder: Path, folder: Path, **sections: Any) -> Prepared:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return prepare(recipe_of(path, tokenizer_folder, **sections), folder / "ours")


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
    ours, theirs = ours_of(rows, tokenizer_folder, tmp_path).rows[0], trl_rows(rows, tokenizer, tmp_path)[0]
    assert ours[0] == theirs[0]
    assert learned(ours, tokenizer) == ["4", "<|endoftext|>"]
    assert learned(theirs, tokenizer) == ["\n", "\n", "4", "<|endoftext|>"]


def test_trl_learns_prompt_characters_before_a_token_that_reaches_over_the_boundary(
    tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    """Alone " hello", with "x" after it " hell" "ox": "ox" holds the completion's start and is learned, " hell" not."""
    rows = [{"prompt": "Say hello", "completion": "x"}]
    ours, theirs = ours_of(rows, tokenizer_folder, tmp_path).rows[0], trl_rows(rows, tokenizer, tmp_path)[0]
    assert ours[0] == theirs[0]
    assert learned(ours, tokenizer) == ["ox", "<|endoftext|>"]
    assert learned(theirs, tokenizer) == [" hell", "ox", "<|endoftext|>"]


def test_trl_keeps_a_row_of_one_token_that_has_no_target(
    tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    """Nothing predicts the first token of a row, so a row of one token teaches nothing."""
    rows = [{"text": "<|endoftext|>"}, {"text": "hello"}]
    ours, theirs = ours_of(rows, tokenizer_folder, tmp_path), trl_rows(rows, tokenizer, tmp_path)
    assert learned(theirs[0], tokenizer) == []
    assert ours.rows == {1: theirs[1]}
    assert [(rejection.row, rejection.reason) for rejection in ours.rejections] == [
        (0, "no token is a target of the loss")
    ]


def test_trl_learns_no_turn_from_the_first_that_begins_with_a_space(
    tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    """Byte-level offsets leave leading spaces out: transformers finds no token and gives up the rest of the row."""
    rows = [chat("a?", "one", "b?", " two", "c?", "three")]
    ours, theirs = _assistant_only(rows, tokenizer, tokenizer_folder, tmp_path)
    assert "".join(learned(ours[0], tokenizer)) == "one twothree"
    assert "".join(learned(theirs[0], tokenizer)) == "one"


def test_trl_stops_the_whole_run_at_a_row_whose_only_answer_begins_with_a_space(
    tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    rows = [chat("a?", "one"), chat("b?", " two")]
    with pytest.raises(RuntimeError, match="at least one example has no assistant tokens"):
        _trl_assistant_only(rows, tokenizer, tmp_path)
    ours = _our_assistant_only(rows, tokenizer_folder, tmp_path)
    assert ["".join(learned(row, tokenizer)) for row in ours.rows.values()] == ["one", " two"]


def test_trl_learns_the_user_after_an_answer_that_ends_with_a_space(
    tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    """No token is found at the span's end, and transformers then marks all that follows (transformers#47325)."""
    rows = [chat("a?", "one ", "b?", "two")]
    ours, theirs = _assistant_only(rows, tokenizer, tokenizer_folder, tmp_path)
    assert "".join(learned(ours[0], tokenizer)) == "one two"
    assert "".join(learned(theirs[0], tokenizer)) == "one <|endoftext|>[user]b?<|endoftext|>[assistant]two<|endoftext|>"


def test_trl_learns_only_the_first_token_of_an_emoji_that_ends_an_answer(
    tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    """The character is three tokens, and a character is looked up at its first one."""
    rows = [chat("a?", "one🧮")]
    ours, theirs = _assistant_only(rows, tokenizer, tokenizer_folder, tmp_path)
    assert tokenizer.decode([label for label in ours[0][1] if label != -100]) == "one🧮"
    assert len(learned(ours[0], tokenizer)) == len(learned(theirs[0], tokenizer)) + 2


def test_trl_ends_a_text_twice_where_the_tokenizer_ends_it_already(tmp_path: Path) -> None:
    folder = tmp_path / "tokenizer"
    tokenizer = save_word_tokenizer(folder, "<s> $A </s>")
    rows = [{"prompt": "two and", "completion": " two"}]
    ours, theirs = ours_of(rows, folder, tmp_path).rows[0], trl_rows(rows, tokenizer, tmp_path)[0]
    assert tokenizer.convert_ids_to_tokens(theirs[0]) == ["<s>", "two", "and", "two", "</s>", "</s>"]
    assert tokenizer.convert_ids_to_tokens(ours[0]) == ["<s>", "two", "and", "two", "</s>"]
    assert learned(ours, tokenizer) == ["two", "</s>"]


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
    template = folder / "content_only.jinja"
    template.write_text(CONTENT_ONLY, encoding="utf-8")
    return ours_of(
        rows, tokenizer_folder, folder, chat={"chat_template_path": str(template), "assistant_only_loss": True}
    )


def _trl_assistant_only(
    rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerFast, folder: Path
) -> dict[int, LabelledRow]:
    tokenizer.chat_template = CONTENT_ONLY
    return trl_rows(rows, tokenizer, folder, assistant_only_loss=True)
