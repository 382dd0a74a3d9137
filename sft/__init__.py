"""The public functions of this project, for notebooks and scripts; they are named like the commands.

    recipe = sft.load_recipe("recipes/quickstart.yaml", {"training.learning_rate": 1e-3})
    report = sft.run(recipe)
    report.scorecard["exact_match"]   # → 0.98, and the model is registered as report.model_uri

What always holds: a function does what the command of its name does and shares its artifacts, so a second call reuses
them. It raises a `UserError` for a mistake in a recipe or in data. It writes nothing to standard output; progress is on
standard error. It uses the state directory of the recipe's `runtime.home`, else `$SFT_HOME`, else `.sft`.

Only the names in `__all__`, and the fields of the objects that they return, are public. `import sft` loads no library;
each function imports what it needs.
"""

from sft._lookups import find_runs, load_model, scorecard, show
from sft._pipeline import check, load_recipe, plan, prepare, run
from sft._quickstart import quickstart
from sft_core.errors import UserError

__all__ = [
    "UserError",
    "check",
    "find_runs",
    "load_model",
    "load_recipe",
    "plan",
    "prepare",
    "quickstart",
    "run",
    "scorecard",
    "show",
]
