"""Inspection of prepared data: a report page, rows token by token, and traces between a block and a source line.

    block 7 of train, tokens 180 to 256   ←→   gsm8k row 4 (line 5): "Natalia sold clips to …"

Nothing is computed again and no extra index is stored: everything is read from the artifacts of the stages, whose
manifests reference each other. Two things always hold. Every row of a source is either trained, held out, rejected, or
not selected by the recipe. Every token is shown with its role in the loss: target, context, or truncated.
"""

from sft_core.inspection.display import Gap, harmless, label, shortened
from sft_core.inspection.figures import Figures, SourceFigures, figures_of
from sft_core.inspection.lineage import Lineage, ShardLineage, find_artifact, find_behind, find_dataset, lineage_of
from sft_core.inspection.pieces import ImagePiece, Piece, TokenPiece, name_of
from sft_core.inspection.report import REPORT_FILE, SUMMARY_FILE, report_dataset, write_report
from sft_core.inspection.rows import (
    RowTable,
    RowView,
    first_rows,
    named_rows,
    random_rows,
    view_rows,
    worst_rows,
)
from sft_core.inspection.samples import SAMPLES_PAGE, samples_page
from sft_core.inspection.trace import Place, RowTrace, SegmentTrace, TracedImage, trace_blocks, trace_line, trace_row

__all__ = [
    "REPORT_FILE",
    "SAMPLES_PAGE",
    "SUMMARY_FILE",
    "Figures",
    "Gap",
    "ImagePiece",
    "Lineage",
    "Piece",
    "Place",
    "RowTable",
    "RowTrace",
    "RowView",
    "SegmentTrace",
    "ShardLineage",
    "SourceFigures",
    "TokenPiece",
    "TracedImage",
    "figures_of",
    "find_artifact",
    "find_behind",
    "find_dataset",
    "first_rows",
    "harmless",
    "label",
    "lineage_of",
    "name_of",
    "named_rows",
    "random_rows",
    "report_dataset",
    "samples_page",
    "shortened",
    "trace_blocks",
    "trace_line",
    "trace_row",
    "view_rows",
    "worst_rows",
    "write_report",
]
