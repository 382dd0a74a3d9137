"""Lineage of a run in MLflow: digests of its recipe, code, base model and source files, and the keys of the artifacts
of all stages. With them, MLflow alone shows what a run was made from.

Source files are logged as dataset inputs of context `source`, because MLflow can search these by digest:

    dataset.digest = '0f3c…' AND dataset.context = 'source'

A source with more than `FILES_LISTED` files is a single input with the digest of all files, since a search returns
every input of every run that it finds (4,000 inputs take 0.2 s). The artifact `sources.json` lists all files of all
sources. Runs over the same bytes have the same tag `sft.sources_digest`, so that the list of only one of them has to be
read.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from mlflow.entities import DatasetInput, RunTag

from sft_core.data.sources.source_files import SourceFile, digest_of_files, source_files
from sft_core.pretrained.model import ModelRef
from sft_core.recipe import Recipe
from sft_core.recipe.inputs import DataInputs
from sft_core.store.file_digests import FileDigests
from sft_core.store.fingerprint import digest
from tasks.stages.codebase import pipeline_code
from tasks.tracking.tags import (
    ARTIFACT,
    CODE_DIGEST,
    CONTEXT,
    HOME,
    RECIPE_DIGEST,
    SOURCE,
    SOURCES_DIGEST,
    SOURCES_FILE,
    SOURCES_LISTED,
    TAG_CHARS,
)
from tasks.tracking.tracked_run import TrackedRun, dataset_input

FILES_LISTED = 32
"""Number of files of one source up to which each file is an input."""
INPUTS_SENT_TOGETHER = 100


def recipe_digest(recipe: Recipe) -> str:
    """Return a digest of all fields of a recipe except `runtime`, including defaults.

    It does not depend on the file that the recipe was read from.
    """
    return digest({name: value for name, value in recipe if name != "runtime"})


def log_origin(
    run: TrackedRun, recipe: Recipe, inputs: DataInputs, model: ModelRef, home: Path, digests: FileDigests
) -> None:
    """Log what a run will be made from; a run that already has this record is not changed.

    Args:
        run: The run.
        recipe: Its recipe.
        inputs: Its sources, tokenizer and template.
        model: The model that training starts from.
        home: The state directory with the artifacts that it makes or reuses.
        digests: The cache of file digests.
    """
    files = source_files(inputs.sources, digests)
    by_source = {name: list(own) for name, own in itertools.groupby(files, key=lambda file: file.source)}
    splits = {source.name: source.spec.split for source in inputs.sources}
    entries = [_input(own, splits[name]) for name, listed in by_source.items() for own in _listed(listed)]
    tags = {
        RECIPE_DIGEST: recipe_digest(recipe),
        CODE_DIGEST: pipeline_code(),
        **input_digests(inputs, model),
        HOME: str(home),
        SOURCES_LISTED: "all" if all(len(own) <= FILES_LISTED for own in by_source.values()) else "some",
        SOURCES_DIGEST: digest_of_files(files),
    }
    commits = {f"sft.source_commit.{source.name}": source.commit for source in inputs.sources}
    commits["sft.model_commit"] = model.commit
    all_tags = {**{name: value for name, value in commits.items() if value}, **tags}
    run.post(lambda: _write(run, files, entries, all_tags))


def input_digests(inputs: DataInputs, model: ModelRef) -> dict[str, str]:
    """Return the tags of a run with the digests of its model, tokenizer and chat template."""
    return {
        "sft.model_digest": model.content_digest,
        "sft.input_tokenizer_digest": inputs.tokenizer.content_digest,
        "sft.input_template_digest": digest(inputs.template),
    }


def log_stages(run: TrackedRun, keys: Mapping[str, str]) -> None:
    """Log the keys of the artifacts that a run made or reused.

    Args:
        run: The run.
        keys: Stage → key of its artifact; for a stage with an artifact for each shard, the part that their keys share.
    """
    run.set_tags({f"{ARTIFACT}{stage}": key for stage, key in keys.items()})


def _write(run: TrackedRun, files: list[SourceFile], entries: list[DatasetInput], tags: Mapping[str, str]) -> None:
    """Send the whole record; this may be repeated. The tags are sent last, as a sign that the rest is complete."""
    if SOURCES_DIGEST in run.client.get_run(run.run_id).data.tags:
        return
    run.client.log_dict(run.run_id, {"files": [asdict(file) for file in files]}, SOURCES_FILE)
    for start in range(0, len(entries), INPUTS_SENT_TOGETHER):
        run.client.log_inputs(run.run_id, entries[start : start + INPUTS_SENT_TOGETHER])
    run.client.log_batch(run.run_id, tags=[RunTag(name, value) for name, value in tags.items()])


def _listed(files: list[SourceFile]) -> Iterator[list[SourceFile]]:
    """Group the files of a source into inputs: one input for each distinct content, or one for all files."""
    if len(files) > FILES_LISTED:
        yield files
        return
    by_digest: dict[str, list[SourceFile]] = {}
    for file in files:
        by_digest.setdefault(file.digest, []).append(file)
    for own in by_digest.values():
        yield own[:1]


def _input(files: Sequence[SourceFile], split: str | None) -> DatasetInput:
    """Return the dataset input for one file, or for all files of a source.

    The path is a tag of the input, because MLflow stores one dataset, with the path of the first run, for all runs of
    an experiment that read the same bytes under the same name.
    """
    first, is_one = files[0], len(files) == 1
    tags = {
        CONTEXT: SOURCE,
        "files": str(len(files)),
        "file": first.file if is_one else "",
        "path": first.path if is_one else "",
        "num_bytes": str(sum(file.num_bytes for file in files)),
        "split": split or "",
    }
    return dataset_input(
        first.path if is_one else str(Path(first.path).parent),
        first.source,
        first.digest if is_one else digest_of_files(files),
        {name: value[-TAG_CHARS:] for name, value in tags.items() if value},
    )
