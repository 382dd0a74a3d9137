"""Everything outside that the data of a run hangs on, found and digested before the first stage."""

from dataclasses import dataclass

from sft_core.chat import TemplateRef, locate_template
from sft_core.file_digests import FileDigests
from sft_core.processor import ProcessorRef, locate_processor
from sft_core.recipe import Recipe
from sft_core.sources import LocatedSource, locate_sources
from sft_core.tokenizer import TokenizerRef, locate_tokenizer


@dataclass(frozen=True, slots=True)
class DataInputs:
    """Sources, tokenizer, template and processor, each by content."""

    sources: tuple[LocatedSource, ...]
    tokenizer: TokenizerRef
    template: TemplateRef
    processor: ProcessorRef | None = None
    """That lies with the tokenizer of a model of images."""

    def fingerprint(self) -> list[object]:
        """All of them; what is not there leaves the keys of the others as they were."""
        return [self.sources, self.tokenizer, self.template, *([self.processor] if self.processor else [])]


def locate_inputs(recipe: Recipe, digests: FileDigests) -> DataInputs:
    """Find them.

    Raises:
        UserError: if one is missing; the message says which, and where it was looked for.
    """
    tokenizer = locate_tokenizer(recipe.model, digests)
    return DataInputs(
        sources=locate_sources(recipe.sources, digests),
        tokenizer=tokenizer,
        processor=locate_processor(tokenizer, digests),
        template=locate_template(recipe.chat),
    )
