"""Write the data report of a packed data set, and put it where people look."""

from collections.abc import Sequence
from pathlib import Path

from prefect.artifacts import create_link_artifact

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.gate_result import GateResult
from sft_core.inspection import REPORT_FILE, lineage_of, write_report
from sft_core.records import StageOutcome
from sft_core.tokenizer import TokenizerRef, load_tokenizer
from tasks.caching import artifact_task


@artifact_task(rooms=["inspection"])
def report_data(
    title: str,
    dataset: ArtifactRef,
    tokenizer: TokenizerRef,
    gates: Sequence[GateResult],
    store: ArtifactStore,
    folder: Path,
) -> StageOutcome:
    """Write `report.html`."""
    lineage = lineage_of(store, dataset)
    write_report(folder / REPORT_FILE, title, lineage, load_tokenizer(tokenizer), gates)
    return StageOutcome(facts={"splits": list(lineage.splits)})


def report_file(store: ArtifactStore, report: ArtifactRef) -> Path:
    """The page."""
    return store.path(report) / REPORT_FILE


def link_report(store: ArtifactStore, report: ArtifactRef) -> None:
    """Show the page's address on the flow run's page in Prefect."""
    create_link_artifact(
        report_file(store, report).as_uri(),
        link_text="data report",
        key="data-report",
        description="Sources, ledger, lengths, blocks and token-by-token masks of the packed data set.",
    )
