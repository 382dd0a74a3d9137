"""Write the data report of a packed data set."""

from collections.abc import Sequence
from pathlib import Path

from sft_core.data.gates import GateResult
from sft_core.inspection import REPORT_FILE, SUMMARY_FILE, report_dataset
from sft_core.pretrained.reader import Reader
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from tasks.stages import stage
from tasks.stages.run_context import RunContext
from tasks.workers import Work


@stage(is_read_by_none=True)
def report_data(
    title: str, shown: Sequence[ArtifactRef], reader: Reader, gates: Sequence[GateResult], context: RunContext
) -> Work:
    """Write `report.html` and `summary.md` of a data set.

    Args:
        title: The recipe's name.
        shown: The data set, followed by the shards of earlier stages that the report also shows.
        reader: The tokenizer and image processor that turn token ids back into text and images.
        gates: The results of the data gates.
        context: The store with the artifacts.
    """
    return Work(report_dataset, (title, shown[0], reader.tokenizer, gates, reader.processor, context.store))


def report_file(store: ArtifactStore, report: ArtifactRef) -> Path:
    """Return the path of the HTML page."""
    return store.path(report) / REPORT_FILE


def summary_of(store: ArtifactStore, report: ArtifactRef) -> str:
    """Return the page as a few tables in Markdown."""
    return (store.path(report) / SUMMARY_FILE).read_text(encoding="utf-8")
