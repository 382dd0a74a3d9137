"""What is measured on held-out rows."""

from sft_core.evaluation.answering import AnsweringConfig
from sft_core.evaluation.harness import LmEvalConfig


class EvaluationConfig(AnsweringConfig):
    """Loss over held-out tokens, and answers to held-out prompts."""

    baseline: bool = True
    """Measure the model before training as well, so that the scorecard shows what training did."""
    lm_eval: LmEvalConfig = LmEvalConfig()

    def while_training(self, num_prompts: int) -> AnsweringConfig:
        """The same answers to fewer prompts, without what concerns the final scorecard alone."""
        shared = {name: getattr(self, name) for name in AnsweringConfig.model_fields}
        return AnsweringConfig(**{**shared, "num_prompts": num_prompts})
