"""Look-ups of prepared rows, runs and models."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flows.queries.open_data import OpenData
    from sft_core.inspection import RowView
    from sft_core.recipe import Recipe
    from sft_core.registry.serving import ChatModel
    from tasks.tracking.lookup.history import History, RunFacts


def show(
    target: "Recipe | Path | str", row: str | None = None, rows: int = 3, worst: bool = False, seed: int = 0
) -> "list[RowView]":
    """Return prepared rows as the training sees them, token by token (`sft show`).

        >>> recipe = sft.load_recipe(sft.quickstart(), {"training.max_steps": 20})
        >>> (view,) = sft.show(recipe, row="chats:0")
        >>> view.split, view.line, view.num_tokens
        ('train', 1, 30)
        >>> "".join(piece.text for piece in view.pieces if piece.kind == "trained")
        'The people of Brenhollow make paper baskets.<|im_end|>'

    Args:
        target: A recipe, whose data is prepared if necessary; or the folder of a training run, such as
            `report.model_dir`.
        row: Name `SOURCE:ROW` of a row; rows count from 0.
        rows: Number of random rows, if `row` is not set.
        worst: Choose the rows to check first instead of random ones.
        seed: Seed of the random choice.

    Returns:
        Rows with `source`, `file`, `row`, `line`, `split`, token counts and `pieces`. A piece is one token with
        `token_id`, `text`, `weight`, and `kind`: `trained`, `context`, or `cut` for a token removed by truncation.

    Raises:
        UserError: if there is no such row, or if the folder does not belong to a training.
    """
    data = _open(target)
    from flows.queries.choose_rows import choose_rows

    return choose_rows(data, row, rows, worst, seed)


def find_runs(recipe: str | None = None, status: str | None = None) -> "list[RunFacts]":
    """Return the runs of a recipe, the newest first (`sft find runs`).

        >>> [found.status for found in sft.find_runs("quickstart")]
        ['FINISHED']

    Args:
        recipe: Name of the recipe; None returns the runs of all recipes.
        status: One of running, scheduled, finished, failed and killed; None returns runs of any status.

    Returns:
        Runs with `run_id`, `recipe`, `status`, `started`, `seconds`, `commit`, `data`, `params` and `metrics`.

    Raises:
        UserError: if nothing has run in this state directory yet.
    """
    history = _history()
    from tasks.tracking.lookup.history import runs_of

    return runs_of(history, recipe, status)


def scorecard(model: str) -> dict[str, float]:
    """Return the scores of a model (`sft find origin`).

        >>> scores = sft.scorecard("models:/quickstart/1")
        >>> scores["num_prompts"]
        303.0

    Args:
        model: A run's id, `models:/NAME@ALIAS`, or `models:/NAME/VERSION`.

    Returns:
        Name → score. Scores of the model before its training begin with `baseline_`.

    Raises:
        UserError: if there is no such model.
    """
    history = _history()
    from tasks.tracking.lookup.models import scores_of

    return scores_of(history.model(model))


def load_model(model: Path | str) -> "ChatModel":
    """Load a model with its tokenizer and chat template, on the GPU where there is one (`sft chat`).

        >>> model = sft.load_model("models:/quickstart/1")
        >>> answer = model.say([{"role": "user", "content": "Where is Elm Island?"}], 16, 0.0, lambda word: None)
        >>> isinstance(answer, str)
        True

    Args:
        model: A model's folder, a run's id, `models:/NAME@ALIAS`, or `models:/NAME/VERSION`.

    Returns:
        An object with `say`, which answers one prompt, and with `model` and `tokenizer` of transformers.

    Raises:
        UserError: if there is no such model.
    """
    from deployments.stack.embedded import open_home

    home = open_home()
    from sft_core.registry.serving import ChatModel
    from tasks.tracking.model_references import open_model

    return ChatModel(open_model(str(model), home).folder)


def _open(target: "Recipe | Path | str") -> "OpenData":
    from flows.queries.open_data import open_folder, open_recipe

    if isinstance(target, Path | str):
        return open_folder(Path(target))
    from deployments.stack.embedded import check_inputs

    check_inputs(target)
    return open_recipe(target)


def _history() -> "History":
    from deployments.stack.embedded import open_home

    home = open_home()
    from tasks.tracking.lookup.history import open_history

    return open_history(home)
