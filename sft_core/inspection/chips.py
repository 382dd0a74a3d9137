"""Rows as token chips: one coloured box per token, with the token id as tooltip."""

from collections.abc import Iterable

from sft_core.inspection.display import Gap, label, shortened
from sft_core.inspection.images import figures_of_images
from sft_core.inspection.markup import count, escaped
from sft_core.inspection.pieces import ImagePiece, Kind, Piece
from sft_core.inspection.rows import RowView
from sft_core.inspection.thumbnails import Thumbnails

CLASSES: dict[Kind, str] = {"trained": "t", "context": "c", "cut": "x"}
LEGEND = (
    '<p class="key"><b class="t">trained</b> the loss looks at it <b class="c">context</b> the model sees it '
    '<b class="x">cut</b> truncation took it away <b class="c s">&lt;special&gt;</b> a special token '
    '<b class="c">🙂</b><b class="c f">‹</b> a character of several tokens; <i>·</i> space, <i>↵</i> line break, '
    "<i>→</i> tab; a token’s id shows where the pointer rests</p>"
)


def row_card(view: RowView, thumbnails: Thumbnails | None = None) -> str:
    """Build the HTML card of a row: its origin, counts, images and tokens."""
    where = f"row {count(view.row)}" + (f", line {count(view.line)}" if view.line is not None else "")
    counts = f"{count(view.num_tokens)} tokens, {count(view.num_trained)} trained"
    of_images = sum(piece.num_tokens for piece in view.pieces if isinstance(piece, ImagePiece))
    counts += f", {count(of_images)} of images" if of_images else ""
    lost = f", <em>{count(view.num_cut)} cut off</em>" if view.num_cut else ""
    why = f'<span class="why">{escaped(view.why)}</span>' if view.why else ""
    file = f'<span class="file">{escaped(view.file)}</span>' if view.file else ""
    return (
        f'<article class="row"><header><b>{escaped(view.source)}</b> {where} <span class="split">'
        f"{'trained' if view.split == 'train' else 'held out'}</span>{why}"
        f'<div class="counts">{counts}{lost} {file}</div></header>'
        f'{_shown(view, thumbnails)}<div class="chips">{_chips(view.pieces)}</div></article>'
    )


def _shown(view: RowView, thumbnails: Thumbnails | None) -> str:
    known = [(piece.image, piece.num_tokens) for piece in view.pieces if isinstance(piece, ImagePiece)]
    return figures_of_images(known or [(image, None) for image in view.images], thumbnails)


def _chips(pieces: Iterable[Piece]) -> str:
    return "".join(_gap(item) if isinstance(item, Gap) else _chip(item) for item in shortened(list(pieces)))


def _chip(piece: Piece) -> str:
    if isinstance(piece, ImagePiece):
        return f'<b class="{CLASSES[piece.kind]} i" title="{escaped(piece.image.digest)}">{escaped(label(piece))}</b>'
    css = CLASSES[piece.kind] + (" s" if piece.is_special else "") + (" f" if piece.part > 1 else "")
    title = f"{piece.token_id}"
    if piece.parts > 1:
        title += f" · {piece.part} of {piece.parts} of {piece.text}"
    if piece.weight != 1.0:
        title += f" · weight {piece.weight:g}"
    line_break = "<br>" if piece.text.endswith("\n") and piece.part == piece.parts else ""
    return f'<b class="{css}" title="{escaped(title)}">{escaped(label(piece))}</b>{line_break}'


def _gap(gap: Gap) -> str:
    kind = f"{gap.kind} " if gap.kind else ""
    return f'<span class="gap">… {count(gap.num_tokens)} more {kind}tokens …</span>'
