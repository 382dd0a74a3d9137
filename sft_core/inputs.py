"""Everything outside that the data of a run hangs on, found and digested before the first stage."""

from dataclasses import dataclass

from sft_core.chat import TemplateRef, locate_template
from sft_core.file_digests import FileDigests
from sft_core.recipe import Recipe
from sft_core.sources import LocatedSource, locate_sources
from sft_core.tokenizer import TokenizerRef, locate_tokenizer


@dataclass(frozen=True, slots=True)
class DataInputs:
    """Sources, tokenizer and template, each by content."""

    sources: tuple[LocatedSource, ...]
    tokenizer: TokenizerRef
    template: TemplateRef

    def fingerprint(self) -> list[object]:
        """All three."""
        return [self.sources, self.tokenizer, self.template]


def locate_inputs(recipe: Recipe, digests: FileDigests) -> DataInputs:
    """Find them.

    Raises:
        UserError: if one is missing; the message says which, and where it was looked for.
    """
    return DataInputs(
        sources=locate_sources(recipe.sources, digests),
        tokenizer=locate_tokenizer(recipe.model, digests),
        template=locate_template(recipe.chat),
    )
