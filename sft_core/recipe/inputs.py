"""Everything outside of a recipe that its run depends on, found and digested before the first stage."""

from dataclasses import dataclass

from sft_core.data.chat import TemplateRef, locate_template, replaces_own_template
from sft_core.data.sources import LocatedSource, locate_sources
from sft_core.evaluation import EvaluationInputs, LocatedTasks, locate_tasks
from sft_core.evaluation.answering import Scoring, locate_scoring
from sft_core.pretrained.model import ModelRef, locate_model
from sft_core.pretrained.processor import ProcessorRef, locate_processor
from sft_core.pretrained.reader import Reader
from sft_core.pretrained.tokenizer import TokenizerRef, locate_tokenizer
from sft_core.recipe.recipe import Recipe
from sft_core.store.file_digests import FileDigests
from sft_core.training import TrainInputs


@dataclass(frozen=True, slots=True)
class DataInputs:
    """The inputs of the data stages: sources, tokenizer, chat template and image processor, each by its content."""

    sources: tuple[LocatedSource, ...]
    tokenizer: TokenizerRef
    template: TemplateRef
    processor: ProcessorRef | None = None
    """None if the model takes no images."""

    def fingerprint(self) -> list[object]:
        """Return all inputs that there are."""
        return [self.sources, self.tokenizer, self.template, *([self.processor] if self.processor else [])]

    def reader(self, has_images: bool) -> Reader:
        """Return the tokenizer, with the image processor if rows have images."""
        return Reader(self.tokenizer, self.processor if has_images else None)

    @property
    def replaces_template(self) -> bool:
        """True if the recipe's chat template differs from the tokenizer's own."""
        return replaces_own_template(self.template, self.tokenizer)


@dataclass(frozen=True, slots=True)
class RunInputs:
    """The inputs of a whole run: those of the data stages, the model, and what measures it."""

    data: DataInputs
    model: ModelRef
    scoring: Scoring
    harness: LocatedTasks

    def fingerprint(self) -> list[object]:
        """Return all inputs, in order."""
        return [self.data, self.model, self.scoring, self.harness]

    def of_training(self, recipe: Recipe, num_processes: int) -> TrainInputs:
        """Return the inputs of `train_model` that are not artifacts."""
        answering = recipe.answering_while_training
        return TrainInputs(
            config=recipe.training,
            model=self.model,
            reader=Reader(self.data.tokenizer, self.data.processor),
            template=self.data.template,
            eos_token=recipe.tokens.eos_token,
            num_processes=num_processes,
            answering=answering,
            scoring=self.scoring if answering else None,
        )

    def of_evaluation(self, recipe: Recipe) -> EvaluationInputs:
        """Return the inputs of `evaluate_model` that are not artifacts."""
        return EvaluationInputs(recipe.evaluation, self.scoring, self.harness, self.data.processor, self.model)


def locate_inputs(recipe: Recipe, digests: FileDigests) -> DataInputs:
    """Find the inputs of the data stages.

    Raises:
        UserError: if one is missing; the message says which, and where it was expected.
    """
    tokenizer = locate_tokenizer(recipe.model, digests)
    return DataInputs(
        sources=locate_sources(recipe.sources, digests),
        tokenizer=tokenizer,
        template=locate_template(recipe.chat),
        processor=locate_processor(tokenizer, digests),
    )


def locate_run(recipe: Recipe, digests: FileDigests) -> RunInputs:
    """Find the inputs of a whole run.

    Raises:
        UserError: as `locate_inputs`.
    """
    return RunInputs(
        data=locate_inputs(recipe, digests),
        model=locate_model(recipe.model, digests),
        scoring=locate_scoring(recipe.evaluation),
        harness=locate_tasks(recipe.evaluation.lm_eval, digests),
    )
