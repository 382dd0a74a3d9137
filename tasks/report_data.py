"""Write the data report of a packed data set."""

from collections.abc import Sequence
from pathlib import Path

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.gate_result import GateResult
from sft_core.image_store import ImageStore
from sft_core.inspection import REPORT_FILE, SUMMARY_FILE, lineage_of, write_report
from sft_core.processor import ProcessorRef
from sft_core.records import StageOutcome
from sft_core.tokenizer import TokenizerRef, load_tokenizer
from tasks.caching import artifact_task


@artifact_task(rooms=["inspection"])
def report_data(
    title: str,
    dataset: ArtifactRef,
    tokenizer: TokenizerRef,
    gates: Sequence[GateResult],
    processor: ProcessorRef | None,
    store: ArtifactStore,
    folder: Path,
) -> StageOutcome:
    """Write `report.html` and `summary.md`."""
    lineage = lineage_of(store, dataset)
    path, images = folder / REPORT_FILE, ImageStore.below(store.root)
    write_report(path, title, lineage, load_tokenizer(tokenizer), gates, processor=processor, images=images)
    return StageOutcome(facts={"splits": list(lineage.splits)})


def report_file(store: ArtifactStore, report: ArtifactRef) -> Path:
    """The page."""
    return store.path(report) / REPORT_FILE


def summary_of(store: ArtifactStore, report: ArtifactRef) -> str:
    """The page in a few tables, as Markdown."""
    return (store.path(report) / SUMMARY_FILE).read_text(encoding="utf-8")
