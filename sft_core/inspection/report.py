"""Data report of a packed data set."""

from collections.abc import Sequence
from pathlib import Path

from sft_core.data.gates import GateResult
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
"""A short form of the report for a Prefect artifact page, stored next to the report."""
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
    """Write the report as one self-contained HTML file, and a Markdown summary `summary.md` next to it.

    The HTML file stays below 1 MB for data of any size.

    Args:
        path: The HTML file.
        title: Name of the data set.
        lineage: The data set.
        tokenizer: Tokenizer that decodes the token ids.
        gates: Results of the checks against the recipe's limits.
        seed: Seed of the random rows.
        processor: Processor that locates the tokens of images; None if no row has images.
        images: Store of the images; with None, only size and digest of images are shown.
    """
    table = RowTable.read(lineage)
    worst = worst_rows(table, WORST_ROWS_EACH)
    random = random_rows(table, RANDOM_ROWS, seed)
    views = view_rows(lineage, table, tokenizer, [*worst, *random], worst, processor)
    figures = figures_of(lineage, table)
    html = page(title, figures, gates, views[: len(worst)], views[len(worst) :], Thumbnails(images) if images else None)
    path.write_text(html, encoding="utf-8", errors="replace")
    path.with_name(SUMMARY_FILE).write_text(summary(figures, gates), encoding="utf-8", errors="replace")
