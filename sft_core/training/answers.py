"""Answers to held-out prompts at evaluations during training."""

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
    """Generator of answers to the same prompts at every evaluation, which appends them to `samples.jsonl`."""

    def __init__(self, plan: TrainPlan, answering: Answering) -> None:
        self._answering = answering
        self._samples = plan.output_folder / SAMPLES_FILE
        self._directions = _directions(plan)

    @classmethod
    def of(cls, plan: TrainPlan, tokenizer: "PreTrainedTokenizerBase") -> "Answerer | None":
        """Return an answerer; None if the plan does not request answers or there are no prompts."""
        if plan.answering is None or plan.prompts is None:
            return None
        prompts = Prompts.read(plan.prompts, plan.answering.num_prompts)
        pixels = PixelMaker.of(plan.processor, plan.images_folder)
        return cls(plan, Answering(plan.answering, plan.scoring, prompts, tokenizer, pixels)) if len(prompts) else None

    def score_names(self) -> list[str]:
        """Return the names of the scores that `answer` will return.

        Raises:
            RecipeError: if one of the user's metrics does not work.
        """
        return self._answering.score_names()

    def answer(self, model: "PreTrainedModel", step: int) -> dict[str, float]:
        """Answer the prompts, append the samples, and return the scores by name. Every process has to call this.

        Args:
            model: The model; it is left in evaluation mode.
            step: Number of optimizer steps done.

        Raises:
            RecipeError: if one of the user's metrics fails.
        """
        model.eval()
        answered = self._answering.answer(model, {"step": step, "model": "trained"}, self._directions)
        if rank_and_count()[0] == 0:
            with self._samples.open("ab") as file:
                file.write(as_lines(answered.rows))
        return answered.scores


def _directions(plan: TrainPlan) -> Mapping[str, bool]:
    """Return {metric: greater is better} to choose the best setting of a sweep; empty unless the recipe sets both."""
    name, greater_is_better = plan.training.metric_for_best_model, plan.training.greater_is_better
    if name is None or greater_is_better is None:
        return {}
    return {name.removeprefix("eval_").partition("/")[0]: greater_is_better}
