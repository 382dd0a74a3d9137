"""Logging of a trained model to MLflow: weights, the code that loads them, and tags with what they were made from."""

import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import requests
from mlflow import pyfunc
from mlflow.entities import LoggedModel
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType, Array, Object, Property

from sft_core.errors import TrackerAwayError
from sft_core.registry.serving import DEFAULT_MAX_TOKENS
from tasks.tracking.model_files import check_stored, local_folder, store_folder
from tasks.tracking.model_references import CHECKPOINT_TAG
from tasks.tracking.tracked_run import TrackedRun

KEY_TAG = "sft.artifact.register_model"
"""Tag of a logged model with the key of the registration that it was logged for."""
Proof = Callable[[Path, Path], Mapping[str, str]]
"""Called with the folders of the stored weights and of the stored code; returns tags with the result of the check."""


def log_model(
    run: TrackedRun,
    name: str,
    folder: Path,
    extra_files: Path,
    step: int,
    tags: Mapping[str, str],
    prove: Proof | None = None,
    key: str | None = None,
) -> str:
    """Log a model folder, without loading the model in this process and without a temporary copy.

    The logged model becomes READY only if the proof succeeds on the stored files. If these are in a remote store, the
    proof uses the local files before they are sent, and afterwards the sizes of all stored files are compared.

    Args:
        run: The run that made the model.
        name: Name of the logged model.
        folder: Folder with weights, configuration and tokenizer.
        extra_files: Folder with the files that are stored in addition; those in its `model/` are stored with the
            weights. `MLmodel` is added to it.
        step: Optimizer step of the weights.
        tags: Tags with what the model was made from.
        prove: Raises if the stored model is not the one that was trained; None checks nothing.
        key: Key of the registration that the model is logged for. A later call with the same key resumes an attempt
            that an outage of MLflow ended; with None, no later call does.

    Returns:
        The id of the logged model.

    Raises:
        TrackerAwayError: if MLflow stays unreachable; a call with the same key resumes with what is stored by then.
        Exception: if anything else fails; the logged model then gets the status FAILED.
    """
    known = {**tags, KEY_TAG: key or uuid.uuid4().hex}
    model = run.insist("logging the model", lambda: _begun(run, name, known))
    if model.status == "READY":
        return str(model.model_id)
    try:
        found = _store(run, model, folder, extra_files, prove)
    except TrackerAwayError:
        raise
    except BaseException:
        with suppress(MlflowException, requests.RequestException):  # the original error is raised below
            run.client.finalize_logged_model(model.model_id, "FAILED")
        raise
    run.insist("the end of logging the model", lambda: _end(run, model, found, step))
    return str(model.model_id)


def _begun(run: TrackedRun, name: str, tags: Mapping[str, str]) -> LoggedModel:
    """Return the logged model that an earlier attempt began with this key in the run, or create one."""
    query = f"source_run_id = '{run.run_id}' AND tags.`{KEY_TAG}` = '{tags[KEY_TAG]}'"
    for model in run.client.search_logged_models([run.experiment_id], query):
        if model.name == name and model.status != "FAILED":
            return model
    return run.client.create_logged_model(run.experiment_id, name=name, source_run_id=run.run_id, tags=dict(tags))


def _end(run: TrackedRun, model: LoggedModel, found: Mapping[str, str], step: int) -> None:
    run.client.set_logged_model_tags(model.model_id, dict(found))
    run.attach_model(model.model_id, step)
    run.client.finalize_logged_model(model.model_id, "READY")


def _store(
    run: TrackedRun, model: LoggedModel, folder: Path, extra_files: Path, prove: Proof | None
) -> Mapping[str, str]:
    """Store all files and prove them; the extra files come last, because they may replace files of the model folder."""
    here = local_folder(model)
    _write_mlmodel(extra_files, run.run_id, model.model_id, is_chat=(folder / "chat_template.jinja").exists())
    found = prove(folder, extra_files / "code") if prove and not here else {}
    replaced = {path.relative_to(extra_files / "model").as_posix() for path in (extra_files / "model").rglob("*")}

    def send() -> None:
        store_folder(run.client, model, folder, "model", replaced)
        run.client.log_model_artifacts(model.model_id, str(extra_files))
        if not here:
            check_stored(run.client, model.model_id, {"model": folder, "": extra_files})

    run.insist("uploading the model", send)
    return prove(here / "model", here / "code") if prove and here else found


def log_checkpoint(run: TrackedRun, step: int, folder: Path, tags: Mapping[str, str]) -> str:
    """Log a checkpoint as a model without copying it; a tag has the path of its folder.

    Returns:
        The id of the logged model `checkpoint-<step>`, which is reused if the run already has it.
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
    """Write `MLmodel`, by which MLflow loads the weights with `sft_core.registry.serving` from the stored copy of the
    code."""
    # a text, or a list of parts: {"type": "text", "text": …}, {"type": "image_url", "image_url": {"url": "data:…"}}
    message = Object([Property("role", DataType.string), Property("content", AnyType())])
    inputs = Schema([ColSpec(Array(message), "messages") if is_chat else ColSpec(DataType.string, "prompt")])
    params = ParamSchema(
        [ParamSpec("max_tokens", DataType.long, DEFAULT_MAX_TOKENS), ParamSpec("temperature", DataType.double, 0.0)]
    )
    signature = ModelSignature(inputs=inputs, outputs=Schema([ColSpec(DataType.string)]), params=params)
    model = Model(run_id=run_id, model_id=model_id, signature=signature)
    pyfunc.add_to_model(
        model, loader_module="sft_core.registry.serving", data="model", code="code", python_env="python_env.yaml"
    )
    model.save(str(folder / "MLmodel"))
