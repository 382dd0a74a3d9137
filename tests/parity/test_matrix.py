"""Labels are token for token those of TRL 1.16: every format, on real rows, with every mask and every way to shorten.

    rows         text, text_pair, messages, messages_pair: the four formats, of four public files (`corpora.py`)
    families     four whose template is marked for TRL and not for us, ChatML marked on both sides, and ChatML with a
                 tokenizer that does not know the markup
    loss         full, completion, assistant, both (what the assistant says in the completion: masks are combined)
    strategies   keep_start, keep_end: rows; bfd, bfd_split: blocks, in their order

A cell is one of each. What TRL makes of whole rows is made once for the strategies, and then cut and packed by TRL
itself. Texts are compared on the first 300 rows of a file; each family gets every sixth of these as conversations, so
that all together see them all. Each value of an axis meets each value of every other; in full size, all cells are
compared, on all rows.
"""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from sft_core.data.tokens import CUT_TARGETS
from tests.full_size import IS_FULL, covering

from .corpora import CORPORA, Format, Row, rows_of
from .families import CHATML, CHATML_MARKED, FAMILIES, NO_TEMPLATE, WITH_CALLS, Family, TokenizerFor
from .our_side import Prepared, RenderedRows, recipe_of, render_rows, tokenize_and_pack
from .trl_side import cut_by_trl, labelled_by_trl, packed_by_trl, rows_in

pytestmark = pytest.mark.parity

REDUCED_ROWS = 300
LOSSES: dict[str, dict[str, Any]] = {
    "full": {"completion_only_loss": False},
    "completion": {},
    "assistant": {"completion_only_loss": False, "assistant_only_loss": True},
    "both": {"assistant_only_loss": True},
}
"""Both sides have the same names for it."""
LOSSES_OF: dict[Format, tuple[str, ...]] = {
    "text": ("full",),
    "text_pair": ("full", "completion"),
    "messages": ("full", "assistant"),
    "messages_pair": ("full", "completion", "assistant", "both"),
}


@dataclass(frozen=True)
class Group:
    """The cells that differ in their strategy only."""

    corpus: str
    shape: Format
    family: Family
    loss: str

    def __str__(self) -> str:
        return f"{self.corpus}-{self.shape}-{self.family}-{self.loss}"

    def rows(self, data: Path) -> list[Row]:
        """Those that are compared."""
        rows = rows_of(self.corpus, self.shape, data)
        if IS_FULL:
            return rows
        first, step = (FAMILIES.index(self.family), len(FAMILIES)) if self.family in FAMILIES else (0, 1)
        return rows[first:REDUCED_ROWS:step]


def _groups() -> Iterator[Group]:
    """All that make sense and are not equal to another, by family: getting to know a tokenizer takes a second."""
    for family, corpus, (shape, losses) in product((NO_TEMPLATE, *FAMILIES), CORPORA, LOSSES_OF.items()):
        if (family is NO_TEMPLATE) != shape.startswith("text"):
            continue
        if corpus == "glaive_calls" and family not in WITH_CALLS:
            continue
        # marks matter only where turns are asked for
        yield from (
            Group(corpus, shape, family, loss)
            for loss in losses
            if family is not CHATML_MARKED or "assistant_only_loss" in LOSSES[loss]
        )


def groups() -> list[Any]:
    """Those that are compared; in `make test` some of those with ChatML or without a template."""
    chosen = covering(_groups(), lambda group: (group.corpus, group.family.name, (group.shape, group.loss)))
    is_sample = [group.corpus != "gsm8k" and group.family in (NO_TEMPLATE, CHATML) for group in chosen]
    marks = {True: [pytest.mark.sample], False: []}
    return [pytest.param(group, marks=marks[is_one]) for group, is_one in zip(chosen, is_sample, strict=True)]


@dataclass(frozen=True)
class Labelled:
    """Both sides before any row is shortened."""

    sections: dict[str, Any]
    """Of the recipe."""
    ours: RenderedRows
    theirs: Dataset

    def prepare(self, folder: Path, **sections: Any) -> Prepared:
        """Finish our side in one of the ways to shorten."""
        return tokenize_and_pack(recipe_of(**self.sections, **sections), self.ours, folder)

    @functools.cached_property
    def limit(self) -> int:
        """Tokens that a quarter of the rows have more of; of some of them, the prompt alone."""
        lengths = sorted(map(len, self.theirs["input_ids"]))
        return lengths[len(lengths) * 3 // 4]


@pytest.fixture(scope="module", params=groups(), ids=str)
def labelled(
    request: pytest.FixtureRequest, data: Path, tokenizer_for: TokenizerFor, tmp_path_factory: pytest.TempPathFactory
) -> Labelled:
    group: Group = request.param
    folder = tmp_path_factory.mktemp("group")
    rows, chat = group.rows(data), LOSSES[group.loss]
    path, template = folder / "rows.jsonl", folder / "template.jinja"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    tokenizer, tokenizer_folder = tokenizer_for(group.family)
    theirs = labelled_by_trl(rows, tokenizer, folder, max_length=None, **chat)
    if group.family.our_template:
        template.write_text(group.family.our_template, encoding="utf-8")
        chat = {**chat, "chat_template_path": str(template)}
    sections = {"path": path, "tokenizer": tokenizer_folder, "chat": chat}
    return Labelled(sections, render_rows(recipe_of(**sections), folder / "ours"), theirs)


@pytest.mark.parametrize("mode", ["keep_start", "keep_end"])
def test_cut_rows(labelled: Labelled, mode: str, tmp_path: Path) -> None:
    cut = {"max_length": labelled.limit, "truncation_mode": mode}
    ours, theirs = labelled.prepare(tmp_path / "ours", tokens=cut), cut_by_trl(labelled.theirs, tmp_path, **cut)
    different = [number for number in theirs if ours.rows.get(number) != theirs[number]]
    assert not different, f"{len(different)} of {len(theirs)} rows differ, the first ones are {different[:5]}"
    assert list(ours.rows) == list(theirs)
    dropped_by_trl = sorted(set(labelled.theirs["row_number"]) - theirs.keys())
    assert [(rejection.row, rejection.reason) for rejection in ours.rejections] == [
        (row, CUT_TARGETS) for row in dropped_by_trl
    ]
    assert ours.ledger.rows_in == len(labelled.theirs) == ours.ledger.rows_train + len(dropped_by_trl)
    assert ours.ledger.rows_truncated > 0


@pytest.mark.parametrize("strategy", ["bfd", "bfd_split"])
def test_blocks(labelled: Labelled, strategy: str, tmp_path: Path) -> None:
    packing = {"packing": True, "packing_strategy": strategy}
    ours = labelled.prepare(tmp_path, tokens={"max_length": labelled.limit}, packing=packing)
    kept = sorted({row for row, _, _ in ours.segments})
    rejected = [rejection.row for rejection in ours.rejections]
    assert sorted([*kept, *rejected]) == labelled.theirs["row_number"][:]
    # TRL would also pack rows that no target is left of (`test_packing.py`)
    whole = rows_in(labelled.theirs)
    assert all(set(whole[row][1][: labelled.limit]) == {-100} for row in rejected)
    assert ours.blocks == packed_by_trl(labelled.theirs.select(kept), labelled.limit, strategy)
    for row, start, (ids, labels) in ours.segments:
        end = start + len(ids)
        assert (ids, labels) == (whole[row][0][start:end], whole[row][1][start:end])
