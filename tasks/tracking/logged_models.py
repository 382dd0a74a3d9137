"""A trained model as an entity of MLflow: weights, what loads them, and what they were made from."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import requests
from mlflow import pyfunc
from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Array, Object, Property

from sft_core.serving import DEFAULT_MAX_TOKENS
from tasks.tracking.model_files import check_stored, local_folder, store_folder
from tasks.tracking.model_references import CHECKPOINT_TAG
from tasks.tracking.tracked_run import TrackedRun

CONTENT_TAG = "sft.content_digest"
"""Of all that goes into a logged model: two of one run with the same one are the same."""
Proof = Callable[[Path, Path], Mapping[str, str]]
"""Takes the folder of stored weights and that of the code beside them, and returns tags that tell what was found."""


def log_model(
    run: TrackedRun,
    name: str,
    folder: Path,
    extra_files: Path,
    step: int,
    tags: Mapping[str, str],
    prove: Proof | None = None,
) -> str:
    """Log a model folder without loading it here and without a second copy on the way. One of the same content digest
    that the run has already is found again; what an earlier attempt left unfinished is removed.

    It becomes READY only if the proof holds, which is given the stored files. Where these are kept elsewhere, it is
    given the files before they are sent, and afterwards all sizes there are compared.

    Args:
        run: The run that made it.
        name: What to call it.
        folder: Weights, configuration and tokenizer.
        extra_files: A folder with what goes beside them, and in its `model/` among them: `MLmodel` is added to it.
        step: Optimizer step of the weights.
        tags: What it was made from.
        prove: Raises if the stored model is not the one that was trained; None: nothing is proven.

    Returns:
        The id of the logged model.

    Raises:
        Exception: whatever went wrong; the logged model is then FAILED.
    """
    client = run.client
    known = _left_by_earlier_attempts(run, name, tags.get(CONTENT_TAG))
    if known is not None:
        run.attach_model(known, step)
        return known
    model = client.create_logged_model(run.experiment_id, name=name, source_run_id=run.run_id, tags=dict(tags))
    try:
        _write_mlmodel(extra_files, run.run_id, model.model_id, is_chat=(folder / "chat_template.jinja").exists())
        client.set_logged_model_tags(model.model_id, dict(_store(run, model, folder, extra_files, prove)))
        client.finalize_logged_model(model.model_id, "READY")
    except BaseException:
        with suppress(MlflowException, requests.RequestException):  # if MLflow is away, the next attempt removes it
            client.finalize_logged_model(model.model_id, "FAILED")
        raise
    run.attach_model(model.model_id, step)
    return str(model.model_id)


def _left_by_earlier_attempts(run: TrackedRun, name: str, content: str | None) -> str | None:
    """The model of this content that is whole, if the run has one; those that never became READY are removed."""
    found = None
    for model in run.client.search_logged_models([run.experiment_id], f"source_run_id = '{run.run_id}'"):
        if model.name != name or CHECKPOINT_TAG in model.tags:
            continue
        if model.status != LoggedModelStatus.READY:
            run.client.delete_logged_model(model.model_id)
        elif content is not None and model.tags.get(CONTENT_TAG) == content:
            found = str(model.model_id)
    return found


def _store(
    run: TrackedRun, model: LoggedModel, folder: Path, extra_files: Path, prove: Proof | None
) -> Mapping[str, str]:
    """Store all files and prove them; the extra ones come last, for one of them may take another's place."""
    here = local_folder(model)
    found = prove(folder, extra_files / "code") if prove and not here else {}
    replaced = {path.relative_to(extra_files / "model").as_posix() for path in (extra_files / "model").rglob("*")}
    store_folder(run.client, model, folder, "model", replaced)
    run.client.log_model_artifacts(model.model_id, str(extra_files))
    if here:
        return prove(here / "model", here / "code") if prove else {}
    check_stored(run.client, model.model_id, {"model": folder, "": extra_files})
    return found


def log_checkpoint(run: TrackedRun, step: int, folder: Path, tags: Mapping[str, str]) -> str:
    """Make a checkpoint known that stays where it lies: nothing is copied, a tag says where it is.

    Returns:
        The id of the logged model, `checkpoint-<step>`; of one that the run has already, that one's.
    """
    known, name = {**tags, CHECKPOINT_TAG: str(folder)}, f"checkpoint-{step}"
    for found in run.client.search_logged_models([run.experiment_id], f"source_run_id = '{run.run_id}'"):
        if (found.name, found.tags.get(CHECKPOINT_TAG)) == (name, str(folder)):
            return str(found.model_id)
    model = run.client.create_logged_model(run.experiment_id, name=name, source_run_id=run.run_id, tags=known)
    run.client.finalize_logged_model(model.model_id, "READY")
    run.attach_model(model.model_id, step)
    return str(model.model_id)


def _write_mlmodel(folder: Path, run_id: str, model_id: str, is_chat: bool) -> None:
    """Say how the model is loaded: `sft_core.serving` on the weights, from the copy of the code that lies beside
    them."""
    message = Object([Property("role", DataType.string), Property("content", DataType.string)])
    inputs = Schema([ColSpec(Array(message), "messages") if is_chat else ColSpec(DataType.string, "prompt")])
    params = ParamSchema(
        [ParamSpec("max_tokens", DataType.long, DEFAULT_MAX_TOKENS), ParamSpec("temperature", DataType.double, 0.0)]
    )
    signature = ModelSignature(inputs=inputs, outputs=Schema([ColSpec(DataType.string)]), params=params)
    model = Model(run_id=run_id, model_id=model_id, signature=signature)
    pyfunc.add_to_model(
        model, loader_module="sft_core.serving", data="model", code="code", python_env="python_env.yaml"
    )
    model.save(str(folder / "MLmodel"))
