"""Mistakes in recipes and data: a clear message, exit code 2, and no model is ever loaded."""

import gzip
import json
from pathlib import Path

import pytest
from conftest import Outcome, Workspace, make_workspace, sums, write_rows

pytestmark = pytest.mark.e2e


@pytest.fixture
def offline(tmp_path: Path) -> Workspace:
    """For mistakes that are found before any server is needed."""
    return make_workspace(tmp_path, prefect_url="http://127.0.0.1:9/api", num_rows=5)


def mistake(outcome: Outcome) -> str:
    """The message of a command that must have failed through the user's mistake."""
    assert outcome.code == 2, outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert len(outcome.stderr.splitlines()) <= 2, outcome.stderr
    result = outcome.result
    assert result["status"] == "failed"
    return str(result["error"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.learning_rat=1", "training.learning_rat: unknown key; did you mean 'learning_rate'?"),
        ("tokens.max_length=0", "tokens.max_length: input should be greater than or equal to 1; found 0"),
        ("tokens.max_length=-5", "found -5"),
        ("training.learning_rate=fast", "training.learning_rate: input should be a valid number"),
        ("sources.0.path=nowhere.jsonl", "expected a file at 'nowhere.jsonl', found nothing there"),
        ("sources.0.path=recipe.yaml", "cannot tell the format of 'recipe.yaml' from its ending"),
        ("runtime.home=/proc/nowhere", "runtime.home: expected a folder that can be made and written to"),
        ("model.tokenizer=./nowhere", "model.tokenizer: expected a folder or a Hub id"),
        (
            "chat.chat_template_path=nowhere.jinja",
            "chat.chat_template_path: expected a .jinja file, a bundled name (chatml, gemma, ",
        ),
    ],
)
def test_a_mistake_in_the_recipe_is_found_before_anything_starts(
    offline: Workspace, override: str, message: str
) -> None:
    assert message in mistake(offline.sft("run", "recipe.yaml", "--json", "--set", override))


def test_an_empty_file_is_a_mistake(offline: Workspace) -> None:
    offline.data.write_text("")
    assert "sums.jsonl: the file is empty" in mistake(offline.sft("run", "recipe.yaml", "--json"))


def test_a_missing_recipe_is_a_mistake(offline: Workspace) -> None:
    assert "expected a recipe at 'nothing.yaml'" in mistake(offline.sft("run", "nothing.yaml", "--json"))


def test_a_hub_that_cannot_be_reached_is_told_in_words(offline: Workspace) -> None:
    message = mistake(offline.sft("run", "recipe.yaml", "--json", "--set", "model.tokenizer=nobody/nothing"))
    assert "expected a local folder or a model on the Hugging Face Hub, found neither for 'nobody/nothing'" in message


def test_invalid_json_is_told_with_file_and_line(workspace: Workspace) -> None:
    rows = [json.dumps(row) for row in sums(5)]
    workspace.data.write_text("\n".join([*rows[:2], '{"question": "broken', *rows[2:]]))
    assert "sums.jsonl, line 3: expected JSON" in mistake(workspace.sft("run", "recipe.yaml", "--json"))


def test_a_column_that_is_not_there_is_told_with_those_that_are(workspace: Workspace) -> None:
    write_rows(workspace.data, [{"query": "a", "answer": "b"}])
    message = mistake(workspace.sft("run", "recipe.yaml", "--json"))
    assert "expected a column 'question'" in message
    assert "found only 'answer', 'query'" in message


def test_no_trainable_row_left_is_told_with_the_reasons(workspace: Workspace) -> None:
    write_rows(workspace.data, [{"question": "a", "answer": None}, {"question": 3, "answer": "b"}])
    message = mistake(workspace.sft("run", "recipe.yaml", "--json"))
    assert "source 'sums': no usable row of 2, all are rejected" in message
    assert "1 × `completion` is null, needed for prompt_completion" in message
    assert "sums row 0 (sums.jsonl line 1)" in message


def test_a_gate_stops_the_run_with_share_and_limit(workspace: Workspace) -> None:
    write_rows(workspace.data, [*sums(3), {"question": "a", "answer": None}])
    message = mistake(workspace.sft("run", "recipe.yaml", "--json", "--set", "gates.max_rejected_fraction=0.1"))
    assert "25.0% of 4 rows are rejected (1 × `completion` is null" in message
    assert "at most 10.0% are allowed" in message


def test_one_bad_row_among_good_ones_is_rejected_with_source_row_and_reason(workspace: Workspace) -> None:
    rows = sums(30)
    write_rows(workspace.data, [*rows[:7], {"question": "no answer", "answer": None}, *rows[7:]])
    result = workspace.ok("prepare")
    rejected = [json.loads(line) for line in Path(result["rejected"]).read_text().splitlines()]
    assert len(rejected) == 1
    assert (rejected[0]["source"], rejected[0]["row"], rejected[0]["line"]) == ("sums", 7, 8)
    assert rejected[0]["reason"] == "`completion` is null, needed for prompt_completion"
    assert "no answer" in rejected[0]["excerpt"]
    ledger = result["ledger"]
    assert (ledger["rows_in"], ledger["rows_rejected"]) == (31, 1)
    assert ledger["rows_in"] == ledger["rows_trained"] + ledger["rows_held_out"] + ledger["rows_rejected"]


def test_a_broken_archive_is_told(workspace: Workspace) -> None:
    whole = gzip.compress(workspace.data.read_bytes())
    (workspace.folder / "sums.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    message = mistake(workspace.sft("prepare", "recipe.yaml", "--json", "--set", "sources.0.path=sums.jsonl.gz"))
    assert "sums.jsonl.gz: expected a whole gzip file" in message


def test_a_mistake_that_the_trainer_finds_is_told_in_its_words(workspace: Workspace) -> None:
    message = mistake(workspace.sft("run", "recipe.yaml", "--json", "--set", "model.config.vocab_size=10"))
    assert "10 embeddings are too few for the tokenizer's 258 ids" in message


def test_check_shows_format_rows_and_what_is_trained(workspace: Workspace) -> None:
    outcome = workspace.sft("check", "recipe.yaml")
    assert outcome.code == 0, outcome.stderr
    assert "300 rows are prompt_completion" in outcome.stdout
    assert "0 plus 0 is⟦ 0<eos>⟧" in outcome.stdout
    assert "300 rows in" in outcome.stdout
    assert "shard/s" not in outcome.stderr, "no progress bars where nobody looks"
