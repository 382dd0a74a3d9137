"""Change detection: compares the data, recipe and code that a run recorded in MLflow with the present ones.

It only reads files and asks the Hub: digests of unchanged files are cached, names on the Hub are resolved to commits,
and no library that loads models is imported.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sft_core.data.sources.source_files import digest_of_files, source_files
from sft_core.pretrained.model import locate_model
from sft_core.recipe import Recipe
from sft_core.recipe.inputs import locate_inputs
from sft_core.store.file_digests import FileDigests
from tasks.stages.codebase import pipeline_code
from tasks.tracking.lineage import input_digests, recipe_digest
from tasks.tracking.lookup.difference import SourceChange, changed_files
from tasks.tracking.lookup.history import History, RunFacts
from tasks.tracking.lookup.sources import recorded_files
from tasks.tracking.provenance import identify, origin_tags, recipe_params
from tasks.tracking.tags import ARTIFACT, CODE_DIGEST, RECIPE_DIGEST, SOURCES_DIGEST
from tasks.tracking.tracker import RUN_KEY

Kind = Literal["data", "recipe", "code"]
KINDS: tuple[Kind, ...] = ("data", "recipe", "code")
NAMED = {
    "sft.model_digest": "the model that training begins with",
    "sft.input_tokenizer_digest": "the tokenizer",
    "sft.input_template_digest": "the chat template",
}
DATASET = f"{ARTIFACT}pack_shards"
"""The tag with the key of a run's packed data."""
COMMIT = "mlflow.source.git.commit"


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes since a run; every field is empty if nothing changed."""

    data: list[str]
    """Descriptions of the changes of the data."""
    recipe: dict[str, tuple[Any, Any]]
    """Name of the field, as in MLflow's parameters → (value before, value now)."""
    code: list[str]
    """Descriptions of the changes of the code."""
    files: list[SourceChange] = field(default_factory=list)
    """Files of sources that were added, removed or changed."""

    def of(self, kinds: tuple[Kind, ...]) -> list[str]:
        """Return one line for each change of the given kinds."""
        lines = {
            "data": [f"data: {change}" for change in self.data],
            "recipe": [f"recipe: {name} {before} → {now}" for name, (before, now) in self.recipe.items()],
            "code": [f"code: {change}" for change in self.code],
        }
        return [line for kind in KINDS if kind in kinds for line in lines[kind]]

    def as_json(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return asdict(self)


def changes_since(history: History, run: RunFacts, recipe: Recipe, digests: FileDigests) -> Changes:
    """Compare a finished run with the run that its recipe would be now.

    Image files that rows name are not compared, because their content is known only when the data is prepared.

    Args:
        history: The MLflow store with the run.
        run: A finished run of the recipe.
        recipe: The recipe as it is now.
        digests: The cache of file digests.

    Raises:
        UserError: if an input of the recipe does not exist.
    """
    dataset = run.tags.get(DATASET)
    if run.tags.get(RUN_KEY) == identify(recipe, digests, dataset=dataset):
        return Changes([], {}, [])
    fields = _changed_fields(run, recipe) if run.tags.get(RECIPE_DIGEST) != recipe_digest(recipe) else {}
    data, files = _changed_data(history, run, recipe, digests)
    code = _changed_code(run)
    then = run.tags.get(CODE_DIGEST)
    if not data and not fields and identify(recipe, digests, then, dataset) != run.tags.get(RUN_KEY):
        data = ["a function that the recipe names"]  # everything else in the run's key is the same
    return Changes(data, fields, code, files)


def _changed_data(
    history: History, run: RunFacts, recipe: Recipe, digests: FileDigests
) -> tuple[list[str], list[SourceChange]]:
    inputs, model = locate_inputs(recipe, digests), locate_model(recipe.model, digests)
    files = source_files(inputs.sources, digests)
    now = input_digests(inputs, model)
    others = [
        f"{label} ({_short(run.tags, name, now)})" for name, label in NAMED.items() if run.tags.get(name) != now[name]
    ]
    if run.tags.get(SOURCES_DIGEST) == digest_of_files(files):
        return others, []
    changed = changed_files(recorded_files(history, run), files)
    lines = [f"{change.source} {change.file}: {change.change}" for change in changed] or ["the order of source files"]
    return [*lines, *others], changed


def _short(before: Mapping[str, str], name: str, now: Mapping[str, str]) -> str:
    return f"{before.get(name, 'unknown')[:8]} → {now[name][:8]}"


def _changed_fields(run: RunFacts, recipe: Recipe) -> dict[str, tuple[Any, Any]]:
    """Compare recorded and present parameters; a change in a truncated value is seen only in the digest."""
    now = recipe_params(recipe)
    names = sorted({*run.params, *now})
    changed = {name: (run.params.get(name), now.get(name)) for name in names if run.params.get(name) != now.get(name)}
    return changed or {"digest": (run.tags.get(RECIPE_DIGEST), recipe_digest(recipe))}


def _changed_code(run: RunFacts) -> list[str]:
    then, now = run.tags.get(CODE_DIGEST), pipeline_code()
    if then == now:
        return []
    commits = run.commit or "unknown", origin_tags().get(COMMIT, "unknown")
    return [f"digest {(then or 'unknown')[:8]} → {now[:8]}, commit {commits[0][:8]} → {commits[1][:8]}"]
