"""Fields of the recipe's `training` section, grouped by topic. They are flat in YAML: `TrainingConfig` combines them.

Names and defaults are those of transformers' `TrainingArguments`, or of TRL where TRL changes a default.
"""

from sft_core.training.fields.distribution import DistributionFields
from sft_core.training.fields.loading import LoadingFields
from sft_core.training.fields.memory import MemoryFields
from sft_core.training.fields.milestones import MilestoneFields
from sft_core.training.fields.optimization import OptimizationFields
from sft_core.training.fields.weights import WeightFields

__all__ = [
    "DistributionFields",
    "LoadingFields",
    "MemoryFields",
    "MilestoneFields",
    "OptimizationFields",
    "WeightFields",
]
