"""Write the data report of a packed data set."""

from collections.abc import Sequence
from pathlib import Path

from sft_core.data.gate_result import GateResult
from sft_core.inspection.figures import figures_of
from sft_core.inspection.lineage import Lineage, lineage_of
from sft_core.inspection.page import page
from sft_core.inspection.rows import RowTable, random_rows, view_rows, worst_rows
from sft_core.inspection.summary import summary
from sft_core.inspection.thumbnails import Thumbnails
from sft_core.pretrained.plain_tokenizer import PlainTokenizer, plain_tokenizer
from sft_core.pretrained.processor import ProcessorRef
from sft_core.pretrained.tokenizer import TokenizerRef
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.store.image_store import ImageStore
from sft_core.store.records import StageOutcome

REPORT_FILE = "report.html"
SUMMARY_FILE = "summary.md"
"""What of it fits on a page in Prefect, beside it."""
RANDOM_ROWS = 6
WORST_ROWS_EACH = 2


def report_dataset(
    title: str,
    dataset: ArtifactRef,
    tokenizer: TokenizerRef,
    gates: Sequence[GateResult],
    processor: ProcessorRef | None,
    store: ArtifactStore,
    folder: Path,
) -> StageOutcome:
    """Write the report of a data set in a store into a folder; see `write_report`."""
    lineage, images = lineage_of(store, dataset), ImageStore.below(store.root)
    write_report(
        folder / REPORT_FILE, title, lineage, plain_tokenizer(tokenizer), gates, processor=processor, images=images
    )
    return StageOutcome(facts={"splits": list(lineage.splits)})


def write_report(
    path: Path,
    title: str,
    lineage: Lineage,
    tokenizer: PlainTokenizer,
    gates: Sequence[GateResult] = (),
    seed: int = 0,
    processor: ProcessorRef | None = None,
    images: ImageStore | None = None,
) -> None:
    """Write one HTML file that holds all it shows, below 1 MB, whatever the size of the data; and a summary beside it.

    Args:
        path: The HTML file.
        title: What the data set is called.
        lineage: The data set.
        tokenizer: Spells its ids.
        gates: The limits it was held against.
        seed: Of the rows that are drawn at random.
        processor: Tells which tokens are an image's; None where no row has any.
        images: What rows show; None: they are named alone.
    """
    table = RowTable.read(lineage)
    worst = worst_rows(table, WORST_ROWS_EACH)
    random = random_rows(table, RANDOM_ROWS, seed)
    views = view_rows(lineage, table, tokenizer, [*worst, *random], worst, processor)
    figures = figures_of(lineage, table)
    html = page(title, figures, gates, views[: len(worst)], views[len(worst) :], Thumbnails(images) if images else None)
    path.write_text(html, encoding="utf-8", errors="replace")
    path.with_name(SUMMARY_FILE).write_text(summary(figures, gates), encoding="utf-8", errors="replace")
