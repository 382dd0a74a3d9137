"""The `evaluation` section of the recipe: measurements on held-out rows."""

from sft_core.evaluation.answering import AnsweringConfig
from sft_core.evaluation.harness import LmEvalConfig


class EvaluationConfig(AnsweringConfig):
    """Loss over held-out tokens, answers to held-out prompts, and tasks of lm-eval."""

    baseline: bool = True
    """Measure the model before training as well, so that the scorecard shows the effect of the training."""
    lm_eval: LmEvalConfig = LmEvalConfig()

    def while_training(self, num_prompts: int) -> AnsweringConfig:
        """Return the settings of answers during training: another number of prompts, and none of the fields that only
        the final scorecard uses."""
        shared = {name: getattr(self, name) for name in AnsweringConfig.model_fields}
        return AnsweringConfig(**{**shared, "num_prompts": num_prompts})
