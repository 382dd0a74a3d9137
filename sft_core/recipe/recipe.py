"""The recipe: the only configuration of a run.

The YAML file, the command line's `--set`, Prefect's parameter form and MLflow's parameters all share this frozen
pydantic model. A section contains the settings of one stage. A field keeps the name that users of TRL, transformers or
trlX know.
"""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from sft_core.data.chat import ChatConfig
from sft_core.data.formats import FormatsConfig
from sft_core.data.gates import GatesConfig
from sft_core.data.images import ImagesConfig
from sft_core.data.packing import PackingConfig
from sft_core.data.sources import SourceSpec
from sft_core.data.tokens import RowLimits, TokensConfig
from sft_core.evaluation import EvaluationConfig
from sft_core.evaluation.answering import AnsweringConfig
from sft_core.pretrained.model import ModelConfig
from sft_core.processes.runtime import RuntimeConfig
from sft_core.registry.promotion import RegistryConfig
from sft_core.section import Section
from sft_core.training import TrainingConfig
from sft_core.training.best import explain_missing


class Recipe(Section):
    """Configuration of a whole run, from source files to the registered model."""

    needed_split: ClassVar[Literal["train", "eval"]] = "train"
    """Split that must have rows."""
    idle_sections: ClassVar[frozenset[str]] = frozenset()
    """Sections that have no effect."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """Name of runs, artifacts and the registered model."""
    model: ModelConfig
    sources: tuple[SourceSpec, ...] = Field(min_length=1)
    formats: FormatsConfig = FormatsConfig()
    images: ImagesConfig = ImagesConfig()
    chat: ChatConfig = ChatConfig()
    tokens: TokensConfig = TokensConfig()
    packing: PackingConfig = PackingConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    registry: RegistryConfig = RegistryConfig()
    gates: GatesConfig = GatesConfig()
    runtime: RuntimeConfig = RuntimeConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        packs = self.packing.packing or self.packing.eval_packing
        if packs and self.tokens.max_length is None:
            raise ValueError("`packing` needs `tokens.max_length`: it is the size of a block")
        cuts_every_row = packs and set(self.row_limits.values()) == {None}
        if cuts_every_row and (self.tokens.truncation_mode != "keep_start" or self.tokens.keep_end_token):
            raise ValueError(
                f"`packing_strategy: {self.packing.packing_strategy}` cuts longer rows into blocks and loses nothing: "
                "`tokens.truncation_mode` and `tokens.keep_end_token` would have no effect, remove them"
            )
        if self.needed_split == "train" and all(source.split == "eval" for source in self.sources):
            raise ValueError("all `sources` have `split: eval`: nothing is left to train on")
        missing = self._missing_best_metric()
        if missing is not None:
            raise ValueError(missing)
        return self

    def _missing_best_metric(self) -> str | None:
        """Return an error message if evaluations will lack the metric by which checkpoints are compared.

        The metrics of a user's function are known only during training, so then the check is skipped.
        """
        answering, metric = self.answering_while_training, self.training.metric_for_best_model
        answers = answering.score_names if answering else ()
        if metric is None or answers is None:
            return None
        return explain_missing(metric, answers)

    @property
    def model_name(self) -> str:
        """Name of the registered model."""
        return self.registry.model_name or self.name

    @property
    def answering_while_training(self) -> AnsweringConfig | None:
        """Settings for answering held-out prompts at each evaluation during training; None if none are answered."""
        num_prompts = self.training.num_eval_prompts
        return self.evaluation.while_training(num_prompts) if num_prompts else None

    @property
    def row_limits(self) -> dict[str, int | None]:
        """Split → maximum number of tokens of its rows before packing; None if packing itself cuts longer rows."""
        packing = self.packing
        cuts_itself = packing.packing_strategy in ("bfd_split", "wrapped")
        return {
            split: None if cuts_itself and packing.packs(split) else self.tokens.max_length
            for split in ("train", "eval")
        }

    def limits(self, has_images: bool) -> RowLimits:
        """Return the number of tokens that rows may have before packing, also those with images if there are any."""
        longest = self.tokens.max_length_with_images
        return RowLimits(
            self.row_limits,
            {split: limit if self.packing.packs(split) else longest for split, limit in self.row_limits.items()}
            if has_images
            else None,
        )
