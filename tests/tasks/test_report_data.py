"""The report as a stage: made once, kept beside what it shows."""

from sft_core.data.gates import GateResult
from sft_core.pretrained.reader import Reader
from sft_core.pretrained.tokenizer import TokenizerRef
from tasks.report_data import report_data, report_file, summary_of
from tasks.stages.run_context import RunContext
from tests.sft_core.inspection.data_set import Prepared


def test_the_report_is_an_artifact_of_its_data_set_and_its_gates(
    prepared: Prepared, tokenizer_ref: TokenizerRef
) -> None:
    context = RunContext(prepared.store)
    gate = GateResult(name="max_rejected_fraction", value=0.02, limit=0.5, what="50 rows are rejected")
    first = report_data("sums", [prepared.dataset], Reader(tokenizer_ref), [gate], context)
    page = report_file(prepared.store, first)
    made_at = page.stat().st_mtime_ns
    again = report_data("sums", [prepared.dataset], Reader(tokenizer_ref), [gate], context)
    failed = gate.model_copy(update={"value": 0.6})
    other = report_data("sums", [prepared.dataset], Reader(tokenizer_ref), [failed], context)
    assert again == first != other
    assert page.stat().st_mtime_ns == made_at
    assert "✓ passed" in page.read_text()
    assert "✗ failed" in report_file(prepared.store, other).read_text()
    assert "| max_rejected_fraction | 2.00% | 50.00% | passed |" in summary_of(prepared.store, first)
