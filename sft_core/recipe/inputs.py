"""Everything outside that the data of a run hangs on, found and digested before the first stage."""

from dataclasses import dataclass

from sft_core.data.chat import TemplateRef, locate_template
from sft_core.data.sources import LocatedSource, locate_sources
from sft_core.pretrained.processor import ProcessorRef, locate_processor
from sft_core.pretrained.tokenizer import TokenizerRef, locate_tokenizer
from sft_core.recipe import Recipe
from sft_core.store.file_digests import FileDigests


@dataclass(frozen=True, slots=True)
class DataInputs:
    """Sources, tokenizer, template and the model's image processor, each by content."""

    sources: tuple[LocatedSource, ...]
    tokenizer: TokenizerRef
    template: TemplateRef
    processor: ProcessorRef | None = None
    """None: the model sees no images."""

    def fingerprint(self) -> list[object]:
        """All that there are."""
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
        template=locate_template(recipe.chat),
        processor=locate_processor(tokenizer, digests),
    )
