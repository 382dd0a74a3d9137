"""What has changed since a run, by what the run says of itself in MLflow: its data, its recipe, its code.

Nothing is computed that a look at files and at the Hub does not give: digests of unchanged files are remembered, names
on the Hub are resolved to commits, and no library of models is loaded.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sft_core.data.sources.source_files import digest_of_files, source_files
from sft_core.pretrained.model import locate_model
from sft_core.recipe import Recipe
from sft_core.recipe.inputs import locate_inputs
from sft_core.store.file_digests import FileDigests
from sft_core.store.fingerprint import digest
from tasks.stages.codebase import pipeline_code
from tasks.tracking.lineage import recipe_digest
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
    """What is not as it was; empty where it is."""

    data: list[str]
    """In words."""
    recipe: dict[str, tuple[Any, Any]]
    """Field, as MLflow's parameters are called → before, now."""
    code: list[str]
    files: list[SourceChange] = field(default_factory=list)
    """Of sources."""

    def of(self, kinds: tuple[Kind, ...]) -> list[str]:
        """What changed of some kinds, a line each."""
        lines = {
            "data": [f"data: {words}" for words in self.data],
            "recipe": [f"recipe: {name} {before} → {now}" for name, (before, now) in self.recipe.items()],
            "code": [f"code: {words}" for words in self.code],
        }
        return [line for kind in KINDS if kind in kinds for line in lines[kind]]

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def changes_since(history: History, run: RunFacts, recipe: Recipe, digests: FileDigests) -> Changes:
    """Compare a run with what it would be now, but for the images that rows name: what these hold is known when the
    data is prepared.

    Args:
        history: Where the run is.
        run: A finished one of this recipe.
        recipe: As it is now.
        digests: What is known of files.

    Raises:
        UserError: if something that the recipe is made from is not there.
    """
    dataset = run.tags.get(DATASET)
    if run.tags.get(RUN_KEY) == identify(recipe, digests, dataset=dataset):
        return Changes([], {}, [])
    fields = _changed_fields(run, recipe) if run.tags.get(RECIPE_DIGEST) != recipe_digest(recipe) else {}
    data, files = _changed_data(history, run, recipe, digests)
    code = _changed_code(run)
    then = run.tags.get(CODE_DIGEST)
    if not data and not fields and identify(recipe, digests, then, dataset) != run.tags.get(RUN_KEY):
        data = ["a function that the recipe names"]  # all else that a run's key covers is the same
    return Changes(data, fields, code, files)


def _changed_data(
    history: History, run: RunFacts, recipe: Recipe, digests: FileDigests
) -> tuple[list[str], list[SourceChange]]:
    inputs, model = locate_inputs(recipe, digests), locate_model(recipe.model, digests)
    files = source_files(inputs.sources, digests)
    now = {
        "sft.model_digest": model.content_digest,
        "sft.input_tokenizer_digest": inputs.tokenizer.content_digest,
        "sft.input_template_digest": digest(inputs.template),
    }
    others = [
        f"{words} ({_short(run.tags, name, now)})" for name, words in NAMED.items() if run.tags.get(name) != now[name]
    ]
    if run.tags.get(SOURCES_DIGEST) == digest_of_files(files):
        return others, []
    changed = changed_files(recorded_files(history, run), files)
    words = [f"{change.source} {change.file}: {change.change}" for change in changed] or ["the order of source files"]
    return [*words, *others], changed


def _short(before: Mapping[str, str], name: str, now: Mapping[str, str]) -> str:
    return f"{before.get(name, 'unknown')[:8]} → {now[name][:8]}"


def _changed_fields(run: RunFacts, recipe: Recipe) -> dict[str, tuple[Any, Any]]:
    """By the parameters; what those cut short is told by the digest alone."""
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
