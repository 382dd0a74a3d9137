"""Draw trials by the scores so far: Optuna's tree-structured Parzen estimator (Bergstra et al., 2011).

`ask` and `tell` alternate. The draws depend only on the seed and on the scores passed to `tell`. A sweep that was
killed and is started again therefore draws the same trials, as long as they score as before. They do, because their
finished runs are found.
"""

from collections.abc import Sequence
from typing import Any

from sft_core.errors import RecipeError
from sft_core.recipe.sweep.space import Overrides, Space, SweepRange
from sft_core.registry.promotion import Direction

STARTUP_SHARE = 3
"""One of so many trials, but at most `MAX_STARTUP`, are drawn at random first, because there is nothing to learn from
yet."""
MAX_STARTUP = 10


class Tpe:
    """An Optuna study in memory."""

    def __init__(self, space: Space, direction: Direction) -> None:
        """Create the study.

        Raises:
            RecipeError: if Optuna is not installed.
        """
        optuna = import_optuna()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        startup = max(1, min(MAX_STARTUP, space.num_trials // STARTUP_SHARE))
        sampler = optuna.samplers.TPESampler(seed=space.seed, n_startup_trials=startup)
        self._study = optuna.create_study(direction=direction, sampler=sampler)
        self._failed = optuna.trial.TrialState.FAIL
        self._space = space
        self._distributions = {path: _distribution(optuna, values) for path, values in space.paths.items()}
        self._asked: list[Any] = []

    def ask(self, num_trials: int) -> list[Overrides]:
        """Draw trials. Their scores have to be passed to `tell` before the next call."""
        self._asked = [self._study.ask(self._distributions) for _ in range(num_trials)]
        return [self._overrides(trial.params) for trial in self._asked]

    def tell(self, scores: Sequence[float | None]) -> None:
        """Record the scores of the trials of the last `ask`, in order. None: the trial failed and is ignored."""
        for trial, score in zip(self._asked, scores, strict=True):
            if score is None:
                self._study.tell(trial, state=self._failed)
            else:
                self._study.tell(trial, score)

    def _overrides(self, drawn: dict[str, Any]) -> Overrides:
        return {
            path: drawn[path] if isinstance(values, SweepRange) else values[drawn[path]]
            for path, values in self._space.paths.items()
        }


def import_optuna() -> Any:
    """Import Optuna, an optional dependency.

    Raises:
        RecipeError: if Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise RecipeError("`optuna`: expected Optuna to be installed, found none; pip install 'sft[optuna]'") from error
    return optuna


def _distribution(optuna: Any, values: list[Any] | SweepRange) -> Any:
    """Return the distribution of a range, or of the positions in a list, as Optuna takes no lists or sections."""
    if not isinstance(values, SweepRange):
        return optuna.distributions.CategoricalDistribution(list(range(len(values))))
    if values.int:
        return optuna.distributions.IntDistribution(round(values.low), round(values.high), log=values.log)
    return optuna.distributions.FloatDistribution(values.low, values.high, log=values.log)
