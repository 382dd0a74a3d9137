"""Answers to held-out prompts while the model is trained."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sft_core.evaluation.answering import Prompts
from sft_core.evaluation.answering.answer import Answering, as_lines
from sft_core.evaluation.answering.processes import rank_and_count
from sft_core.modeling.pixels import PixelMaker
from sft_core.training.plan import SAMPLES_FILE, TrainPlan

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Answerer:
    """Answers the same prompts at every evaluation, and appends the samples to `samples.jsonl`."""

    def __init__(self, plan: TrainPlan, answering: Answering) -> None:
        self._answering = answering
        self._samples = plan.output_folder / SAMPLES_FILE
        self._directions = _directions(plan)

    @classmethod
    def of(cls, plan: TrainPlan, tokenizer: "PreTrainedTokenizerBase") -> "Answerer | None":
        """Make one, where the plan asks for answers and there are prompts."""
        if plan.answering is None or plan.prompts is None:
            return None
        prompts = Prompts.read(plan.prompts, plan.answering.num_prompts)
        pixels = PixelMaker.of(plan.processor, plan.images_folder)
        return cls(plan, Answering(plan.answering, plan.scoring, prompts, tokenizer, pixels)) if len(prompts) else None

    def score_names(self) -> list[str]:
        """What the scores of `answer` will be called.

        Raises:
            RecipeError: if a metric of the user's does not work.
        """
        return self._answering.score_names()

    def answer(self, model: "PreTrainedModel", step: int) -> dict[str, float]:
        """Answer, append the samples, and return the scores by name. All processes have to call it.

        Args:
            model: Is left in evaluation mode.
            step: Optimizer steps done.

        Raises:
            RecipeError: if a metric of the user's fails.
        """
        model.eval()
        answered = self._answering.answer(model, {"step": step, "model": "trained"}, self._directions)
        if rank_and_count()[0] == 0:
            with self._samples.open("ab") as file:
                file.write(as_lines(answered.rows))
        return answered.scores


def _directions(plan: TrainPlan) -> Mapping[str, bool]:
    """Which end of a sweep is the best, where the recipe says so of the metric that it goes by."""
    name, greater_is_better = plan.training.metric_for_best_model, plan.training.greater_is_better
    if name is None or greater_is_better is None:
        return {}
    return {name.removeprefix("eval_").partition("/")[0]: greater_is_better}
