"""Gates stop data that is not fit to train on; each has a broken fixture here."""

from pathlib import Path
from typing import Any

import pytest

from sft_core.data.audit import Audit, audit_rows
from sft_core.data.gates import GatesConfig, check_gates, check_rows_left, check_source, measure_gates
from sft_core.data.token_rows import TokenRows
from sft_core.data.tokens import NO_TARGET
from sft_core.errors import DataError, GateError
from sft_core.store.ledger import Ledger, Rejection
from sft_core.store.records import INDEX
from sft_core.store.tables import write_table

EMPTY = "`text` is empty"


def rejections(*rows: int, reason: str = EMPTY) -> list[Rejection]:
    return [Rejection(source="train", row=row, line=row + 1, stage="s", reason=reason, excerpt="") for row in rows]


def entry(row: int, **fields: Any) -> dict[str, Any]:
    """A row of ten tokens that has nothing wrong with it."""
    clean = {
        "split": "train",
        "prompt_id": row + 1,
        "example_id": row + 1,
        "tokens": 10,
        "targets": 5,
        "tokens_truncated": 0,
    }
    return {"row": row, **clean, "ends_with_stop": True, "has_doubled_bos": False, **fields}


def audited(folder: Path, rows: list[dict[str, Any]], rejected: list[Rejection] = []) -> Audit:  # noqa: B006
    write_table(folder / "index.arrow", INDEX, rows)
    splits = [row["split"] for row in rows]
    truncated = sum(row["tokens_truncated"] for row in rows)
    reasons = {reason: [r.reason for r in rejected].count(reason) for reason in {r.reason for r in rejected}}
    ledger = Ledger(
        rows_in=len(rows) + len(rejected),
        rows_train=splits.count("train"),
        rows_eval=splits.count("eval"),
        rows_rejected=len(rejected),
        rejected_by_reason=reasons,
        tokens_in=10 * len(rows) + truncated,
        tokens_train=10 * splits.count("train"),
        tokens_eval=10 * splits.count("eval"),
        tokens_truncated=truncated,
    )
    return audit_rows(ledger, rejected, TokenRows.read([("train", folder)]))


def check(audit: Audit, rejected: list[Rejection] = [], **limits: Any) -> None:  # noqa: B006
    check_rows_left("train", audit.ledger, rejected)
    check_gates(measure_gates(GatesConfig(**limits), audit))


def test_clean_data_passes_with_no_tolerance_at_all(tmp_path: Path) -> None:
    limits = {name: 0.0 for name in GatesConfig.model_fields if name.startswith("max_")}
    check(audited(tmp_path, [entry(1), entry(2), entry(3, split="eval")]), **limits)


def test_every_gate_is_measured_even_if_one_is_crossed(tmp_path: Path) -> None:
    results = measure_gates(GatesConfig(), audited(tmp_path, [entry(1, ends_with_stop=False)]))
    assert {result.name for result in results} == set(GatesConfig.model_fields)
    assert [result.name for result in results if not result.is_passed] == ["max_unstopped_fraction"]


def test_no_trainable_row_is_an_error_that_says_where_the_rows_went(tmp_path: Path) -> None:
    rejected = rejections(4, 7, 8, 9)
    audit = audited(tmp_path, [entry(1, split="eval")], rejected)
    with pytest.raises(
        DataError, match=r"no trainable row is left of 5: 1 held out, 4 rejected \(4 × `text` is empty\)"
    ):
        check(audit, rejected, max_rejected_fraction=1.0)


def test_rows_that_the_recipe_leaves_out_are_named_where_none_is_left() -> None:
    ledger = Ledger(rows_in=5, rows_eval=1, rows_left_out=4)
    with pytest.raises(DataError, match=r"of 5: 1 held out, 4 skipped by the recipe itself \(`fraction`, .*0 rej"):
        check_rows_left("train", ledger, [])


def test_a_source_of_which_the_recipe_leaves_out_every_row_stops_the_run() -> None:
    with pytest.raises(DataError, match="source 'web': none of its 4 rows is used, `fraction` or `transform`"):
        check_source("web", Ledger(rows_in=4, rows_left_out=4), [])
    check_source("web", Ledger(rows_in=4, rows_train=1, rows_left_out=3), [])


def test_too_many_rejected_rows_stop_the_run_and_name_the_first_ones(tmp_path: Path) -> None:
    rejected = rejections(4, 7, 8, 9)
    audit = audited(tmp_path, [entry(row) for row in range(6)], rejected)
    share = r"max_rejected_fraction: 40\.0% of 10 rows are rejected \(4 × `text` is empty\), at most 30\.0% .*"
    rows = r"for example train row 4 \(line 5\), train row 7 \(line 8\), train row 8 \(line 9\); fix them"
    with pytest.raises(GateError, match=share + rows):
        check(audit, rejected, max_rejected_fraction=0.3)
    check(audit, rejected, max_rejected_fraction=0.4)


def test_rows_without_a_target_stop_the_run(tmp_path: Path) -> None:
    rejected = [*rejections(4), *rejections(7, reason=NO_TARGET)]
    audit = audited(tmp_path, [entry(row) for row in range(6)], rejected)
    with pytest.raises(
        GateError, match=r"max_masked_fraction: 12\.5% of 8 rows .* for example train row 7 \(line 8\);"
    ):
        check(audit, rejected)
    check(audit, rejected, max_masked_fraction=0.125)


def test_too_much_truncation_stops_the_run_and_names_the_rows_that_lost_most(tmp_path: Path) -> None:
    audit = audited(tmp_path, [entry(1, tokens_truncated=2), entry(2, tokens_truncated=8), entry(3)])
    with pytest.raises(
        GateError,
        match=r"max_truncated_fraction: 25\.0% of 40 tokens .* at most 20\.0% .* train row 2, train row 1;",
    ):
        check(audit, max_truncated_fraction=0.2)
    check(audit, max_truncated_fraction=0.25)


def test_rows_that_do_not_teach_to_stop_stop_the_run(tmp_path: Path) -> None:
    rows = [entry(1, ends_with_stop=False), entry(2, ends_with_stop=False, split="eval"), entry(3)]
    with pytest.raises(
        GateError, match=r"max_unstopped_fraction: 66\.7% of 3 rows .*train row 1, train row 2; set tok"
    ):
        check(audited(tmp_path, rows))


def test_a_doubled_beginning_token_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"max_doubled_bos_fraction: 50\.0% of 2 rows .*; for example train row 2;"):
        check(audited(tmp_path, [entry(1), entry(2, has_doubled_bos=True)]))


def test_a_prompt_on_both_sides_stops_the_run(tmp_path: Path) -> None:
    rows = [entry(1, prompt_id=9), entry(2), entry(3, prompt_id=9, split="eval")]
    with pytest.raises(
        GateError, match=r"max_overlap_fraction: 50\.0% of 2 trained prompts .*for example train row 1;"
    ):
        check(audited(tmp_path, rows))
    check(audited(tmp_path, rows), max_overlap_fraction=0.5)


def test_another_template_than_the_models_stops_the_run_where_the_recipe_says_so(tmp_path: Path) -> None:
    audit = audited(tmp_path, [entry(1)])
    strict = GatesConfig(allow_other_template=False)
    with pytest.raises(GateError, match=r"allow_other_template: .* remove chat\.chat_template_path"):
        check_gates(measure_gates(strict, audit, has_other_template=True))
    check_gates(measure_gates(strict, audit, has_other_template=False))
    check_gates(measure_gates(GatesConfig(), audit, has_other_template=True))


def test_a_source_of_bad_rows_only_stops_the_run_at_once(tmp_path: Path) -> None:
    bad = Ledger(rows_in=3, rows_rejected=3, rejected_by_reason={EMPTY: 2, "other": 1})
    with pytest.raises(
        DataError, match=r"'train': no usable row of 3, .*\(2 × `text` is empty; 1 × other\); for example"
    ):
        check_source("train", bad, rejections(0, 1, 2))
    check_source("train", Ledger(rows_in=3, rows_train=1, rows_rejected=2, rejected_by_reason={EMPTY: 2}), [])


def test_the_message_names_the_page_that_shows_more(tmp_path: Path) -> None:
    results = measure_gates(GatesConfig(), audited(tmp_path, [entry(1, ends_with_stop=False)]))
    with pytest.raises(GateError, match=r"\nthe data report shows more: /somewhere/report\.html$"):
        check_gates(results, Path("/somewhere/report.html"))
