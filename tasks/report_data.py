"""Write the data report of a packed data set."""

from collections.abc import Sequence
from pathlib import Path

from sft_core.data.gate_result import GateResult
from sft_core.inspection import REPORT_FILE, SUMMARY_FILE, report_dataset
from sft_core.pretrained.processor import ProcessorRef
from sft_core.pretrained.tokenizer import TokenizerRef
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from tasks.stages import stage
from tasks.workers import Work


@stage(is_read_by_none=True)
def report_data(
    title: str,
    dataset: ArtifactRef,
    tokenizer: TokenizerRef,
    gates: Sequence[GateResult],
    processor: ProcessorRef | None,
    behind: Sequence[ArtifactRef],
    *,
    store: ArtifactStore,
) -> Work:
    """Write `report.html` and `summary.md` of a data set; `behind` are the shards of earlier stages, which it shows."""
    return Work(report_dataset, (title, dataset, tokenizer, gates, processor, store))


def report_file(store: ArtifactStore, report: ArtifactRef) -> Path:
    """The page."""
    return store.path(report) / REPORT_FILE


def summary_of(store: ArtifactStore, report: ArtifactRef) -> str:
    """The page in a few tables, as Markdown."""
    return (store.path(report) / SUMMARY_FILE).read_text(encoding="utf-8")
