"""Functions and libraries that the metrics of a recipe depend on, found and digested before the first stage."""

import importlib.metadata

from sft_core.errors import RecipeError
from sft_core.evaluation.answering.config import AnsweringConfig
from sft_core.evaluation.answering.metric_names import MetricNames
from sft_core.section import Section
from sft_core.store.records import FunctionRef
from sft_core.store.user_function import locate_function

ROLE = "metric"


class Scoring(Section):
    """Functions that score answers, identified by their code, and libraries, identified by their versions."""

    functions: tuple[FunctionRef, ...] = ()
    libraries: dict[str, str] = {}


def locate_scoring(config: AnsweringConfig) -> Scoring:
    """Find the functions and libraries of the metrics, without importing them.

    Raises:
        RecipeError: if a function does not exist, or a library is not installed.
    """
    names = MetricNames.parse(config.metrics)
    return Scoring(
        functions=tuple(locate_function(path, ROLE) for path in names.functions),
        libraries={library: _version(library, config) for library in names.libraries},
    )


def _version(library: str, config: AnsweringConfig) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError as error:
        wanting = [name for name in config.metrics if library in MetricNames.parse([name]).libraries]
        raise RecipeError(
            f"evaluation.metrics: {', '.join(wanting)} needs {library}, which is not installed: "
            "pip install 'sft[metrics]'"
        ) from error
