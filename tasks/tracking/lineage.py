"""What a run carries so that MLflow alone can say what it was made from: the recipe's digest, the code's, the base
model's, each source file's, and the keys of the artifacts of all stages.

Files are dataset inputs of context `source`, because these are what MLflow searches by digest:

    dataset.digest = '0f3c…' AND dataset.context = 'source'

A source of more than `FILES_LISTED` files is one input with the digest of all of them, since a search brings every
input of every run it finds (4,000 of them take 0.2 s). `sources.json` has all files of all sources, and
`sft.sources_digest` is the same for all runs over the same bytes, so one of them is read for all.
"""

import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag, RunTag

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
from tasks.tracking.tracked_run import TrackedRun

FILES_LISTED = 32
"""Of one source: so many files are an input each."""
INPUTS_SENT_TOGETHER = 100


def recipe_digest(recipe: Recipe) -> str:
    """Digest all fields of a recipe, defaults too, but for `runtime`: equal recipes are one recipe, whatever file they
    stand in."""
    return digest({name: value for name, value in recipe if name != "runtime"})


def log_origin(
    run: TrackedRun, recipe: Recipe, inputs: DataInputs, model: ModelRef, home: Path, digests: FileDigests
) -> None:
    """Say what a run is about to be made from; a run that says it already is left as it is.

    Args:
        run: The run.
        recipe: What it is asked to do.
        inputs: Its sources, tokenizer and template.
        model: What training begins with.
        home: The folder whose artifacts it makes or reuses.
        digests: What is known of files.
    """
    files = source_files(inputs.sources, digests)
    by_source = {name: list(own) for name, own in itertools.groupby(files, key=lambda file: file.source)}
    splits = {source.name: source.spec.split for source in inputs.sources}
    entries = [_input(own, splits[name]) for name, listed in by_source.items() for own in _listed(listed)]
    tags = {
        RECIPE_DIGEST: recipe_digest(recipe),
        CODE_DIGEST: pipeline_code(),
        "sft.model_digest": model.content_digest,
        "sft.input_tokenizer_digest": inputs.tokenizer.content_digest,
        "sft.input_template_digest": digest(inputs.template),
        HOME: str(home),
        SOURCES_LISTED: "all" if all(len(own) <= FILES_LISTED for own in by_source.values()) else "some",
        SOURCES_DIGEST: digest_of_files(files),
    }
    commits = {f"sft.source_commit.{source.name}": source.commit for source in inputs.sources}
    commits["sft.model_commit"] = model.commit
    all_tags = {**{name: value for name, value in commits.items() if value}, **tags}
    run.post(lambda: _write(run, files, entries, all_tags))


def log_stages(run: TrackedRun, keys: Mapping[str, str]) -> None:
    """Say which artifacts a run made or reused.

    Args:
        run: The run.
        keys: Stage → key; of a stage with an artifact a shard, what their keys share.
    """
    run.set_tags({f"{ARTIFACT}{stage}": key for stage, key in keys.items()})


def _write(run: TrackedRun, files: list[SourceFile], entries: list[DatasetInput], tags: Mapping[str, str]) -> None:
    """All that is sent, and may be sent again; the tags come last, and say that the rest is there."""
    if SOURCES_DIGEST in run.client.get_run(run.run_id).data.tags:
        return
    run.client.log_dict(run.run_id, {"files": [asdict(file) for file in files]}, SOURCES_FILE)
    for start in range(0, len(entries), INPUTS_SENT_TOGETHER):
        run.client.log_inputs(run.run_id, entries[start : start + INPUTS_SENT_TOGETHER])
    run.client.log_batch(run.run_id, tags=[RunTag(name, value) for name, value in tags.items()])


def _listed(files: list[SourceFile]) -> Iterator[list[SourceFile]]:
    """The files of a source as they become inputs: by content one by one, or all together."""
    if len(files) > FILES_LISTED:
        yield files
        return
    by_digest: dict[str, list[SourceFile]] = {}
    for file in files:
        by_digest.setdefault(file.digest, []).append(file)
    for own in by_digest.values():
        yield own[:1]


def _input(files: Sequence[SourceFile], split: str | None) -> DatasetInput:
    """One file, or the whole of a source. Its path is a tag, because MLflow keeps one dataset for all runs of an
    experiment that saw the same bytes under the same name, with the path of the first."""
    first, is_one = files[0], len(files) == 1
    with warnings.catch_warnings():  # MLflow registers its own local source twice, and warns of it
        warnings.simplefilter("ignore")
        place = resolve_dataset_source(first.path if is_one else str(Path(first.path).parent))
    dataset = MetaDataset(place, name=first.source, digest=first.digest if is_one else digest_of_files(files))
    tags = {
        CONTEXT: SOURCE,
        "files": str(len(files)),
        "file": first.file if is_one else "",
        "path": first.path if is_one else "",
        "num_bytes": str(sum(file.num_bytes for file in files)),
        "split": split or "",
    }
    return DatasetInput(
        dataset._to_mlflow_entity(), [InputTag(name, value[-TAG_CHARS:]) for name, value in tags.items() if value]
    )
