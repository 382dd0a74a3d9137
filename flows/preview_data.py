"""Look at prepared data: what each source was taken for, and some of its rows."""

from dataclasses import dataclass

from flows.prepare_data import PreparedData
from sft_core.formats import Verdict
from sft_core.inputs import locate_inputs
from sft_core.preview import RowPreview, preview_rows
from sft_core.recipe import Recipe
from tasks.home import file_digests, open_store


@dataclass(frozen=True, slots=True)
class SourcePreview:
    """One source as it went into the data set."""

    name: str
    verdict: Verdict
    rows_rejected: int
    rows: list[RowPreview]


def preview_data(recipe: Recipe, data: PreparedData, rows_per_source: int) -> list[SourcePreview]:
    """Decode the first rows of each source; everything is read from artifacts, nothing is computed again."""
    store = open_store(recipe.runtime)
    tokenizer = locate_inputs(recipe, file_digests(store)).tokenizer
    previews = []
    for source, verdict in data.verdicts.items():
        manifests = [manifest for ref in data.tokens if (manifest := store.manifest(ref)).facts["source"] == source]
        rejected = sum(manifest.ledger.rows_rejected for manifest in manifests if manifest.ledger)
        rows = preview_rows(store.path(manifests[0].ref) / "tokens.arrow", tokenizer, rows_per_source)
        previews.append(SourcePreview(source, verdict, rejected, rows))
    return previews
