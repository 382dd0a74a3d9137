"""Looking at prepared data: a report page, rows token by token, and the way between a block and a source line.

    block 7 of train, tokens 180 to 256   ←→   gsm8k row 4 (line 5): "Natalia sold clips to …"

Nothing is computed again and nothing is kept beside the data for it: everything is read from the artifacts of the
stages, which manifests tie to each other. What always holds: the rows of a source are trained, held out,
rejected or left out, and nothing else; every token of a row is shown as what the loss takes it for.
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
