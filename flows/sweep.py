"""A sweep: one recipe is run in several trials with different values, and the best trial is found."""

from collections.abc import Sequence
from typing import Any

from prefect import flow
from prefect.logging import get_run_logger

from flows.reports.sweep_report import Outcome, SweepReport, record_sweep, report_sweep
from flows.triggers.trials import Asked, Then, Trial, run_all
from sft_core.errors import StageFailedError
from sft_core.recipe import Recipe
from sft_core.recipe.recipe_file import parse_as
from sft_core.recipe.sweep.goal import goal_of, sweep_id
from sft_core.recipe.sweep.space import Overrides, Space, SweepRange, corners_of, overrides_of
from sft_core.recipe.sweep.tpe import Tpe, import_optuna
from sft_core.recipe.sweep.trials import Base, check_trials
from sft_core.registry.promotion import Direction
from tasks.home import file_digests, open_store
from tasks.promote_version import promote_version
from tasks.tracking import open_tracker
from tasks.tracking.provenance import identify
from tasks.tracking.sweeps import begin_sweep, name_trial

NOT_PROMOTED = "registry.promote=false"


@flow(name="sweep", flow_run_name="{preset}")
def sweep(
    preset: str,
    overrides: list[str] | None = None,
    grid: dict[str, list[Any]] | None = None,
    random: dict[str, list[Any] | SweepRange] | None = None,
    optuna: dict[str, list[Any] | SweepRange] | None = None,
    num_trials: int = 10,
    seed: int = 0,
    metric: str = "",
    direction: Direction | None = None,
    max_parallel: int = 1,
    train_on: str = "",
) -> SweepReport:
    """Run a recipe in several trials with different values, and let the gate judge the best of them.

    Fill in one of grid, random and optuna. All trials are checked before the first one starts. Data that several trials
    share is prepared once. A trial that fails is reported, and the others continue. If the same sweep is started again,
    it reuses the trials that were finished.

    Args:
        preset: YAML file of the recipe, relative to the project's folder.
        overrides: Changes to the recipe that hold for all trials, each as `dotted.path=value`.
        grid: Path of a field → list of values; every combination is a trial.
        random: Path of a field → list of values, or a range {low, high, log, int}; num_trials trials are drawn.
        optuna: The same as random, but Optuna draws the trials and takes the scores so far into account.
        num_trials: Number of trials that random or optuna draws.
        seed: Random seed of the draws.
        metric: Score that trials are compared by. If it is empty, it is the metric that the recipe's gate compares.
        direction: `minimize` or `maximize`. By default it is that of the gate, or follows from the metric's name.
        max_parallel: Number of trials that run at once if train_on is given, and of trials that Optuna draws at a time.
        train_on: Deployment that trains, as FLOW/DEPLOYMENT. If it is empty, this flow run trains one trial after the
            other.
    """
    tried = {"grid": grid, "random": random, "optuna": optuna, "num_trials": num_trials, "seed": seed}
    space = parse_as(Space, {name: value for name, value in tried.items() if value is not None}, "sweep")
    base = Base.read(preset, overrides or [], get_run_logger().info)
    if space.optuna is not None:
        import_optuna()
    known = overrides_of(space) if space.optuna is None else corners_of(space)
    checked = check_trials(base, known, _is_there)
    recipe = base.whole(checked[0])
    goal = goal_of(recipe, metric or None, direction)
    store = open_store(recipe.runtime)
    sweep_key = sweep_id(identify(checked[0], file_digests(store)), space, *goal, max_parallel)

    tracker = open_tracker(recipe.registry.experiment, store)
    with tracker.run(recipe, f"sweep-{sweep_key}") as run:
        begin_sweep(run, sweep_key)

        def named(trial_recipe: Recipe, trial: Trial) -> Trial:
            key = identify(trial_recipe, file_digests(store))
            return trial.model_copy(update={"mlflow_run_id": name_trial(run, sweep_key, key)})

        trials = _run_trials(base, space, goal, max_parallel, train_on or None, named)
        outcome = Outcome(sweep_key, preset, tuple(overrides or []), *goal, trials)
        record_sweep(outcome, store, run)
        if outcome.best is None:
            raise StageFailedError(f"all {len(trials)} trials failed; the first: {trials[0].error}")
        verdict = None
        if recipe.registry.promote:
            version = tracker.registry.find_version(str(outcome.best.model_uri))
            verdict = promote_version(recipe.registry.gate, version, None, registry=tracker.registry, store=store)
        return report_sweep(outcome, recipe, store, run, verdict)


def _is_there(recipe: Recipe) -> None:
    """Check that the inputs of a trial exist, by identifying its run."""
    identify(recipe, file_digests(open_store(recipe.runtime)))


def _run_trials(
    base: Base, space: Space, goal: tuple[str, Direction], at_once: int, train_on: str | None, then: Then
) -> list[Trial]:
    metric, direction = goal
    if space.optuna is None:
        return run_all(_asked(base, overrides_of(space), 1), metric, at_once, train_on, then)
    study, trials = Tpe(space, direction), list[Trial]()
    while len(trials) < space.num_trials:
        drawn = study.ask(min(at_once, space.num_trials - len(trials)))
        ended = run_all(_asked(base, drawn, len(trials) + 1), metric, at_once, train_on, then)
        study.tell([trial.score for trial in ended])
        trials += ended
    return trials


def _asked(base: Base, drawn: Sequence[Overrides], first: int) -> list[Asked]:
    """Build the trials, with promotion switched off: the gate judges only the best of them, at the end of the sweep."""
    return [(number, overrides, base.trial(overrides, NOT_PROMOTED)) for number, overrides in enumerate(drawn, first)]
