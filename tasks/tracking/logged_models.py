"""A trained model as an entity of MLflow: weights, what loads them, and what they were made from."""

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
"""Of a logged model: the key of the registration that it was logged for."""
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
    key: str | None = None,
) -> str:
    """Log a model folder without loading it here and without a second copy on the way.

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
        key: Of the registration that it is logged for, by which an attempt that MLflow's absence ended is gone on with;
            None: by nobody but this call.

    Returns:
        The id of the logged model.

    Raises:
        TrackerAwayError: if MLflow is away for long; a call with the same key goes on with what it has then.
        Exception: whatever else went wrong; the logged model is then FAILED.
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
        with suppress(MlflowException, requests.RequestException):  # why it failed is told by what it failed of
            run.client.finalize_logged_model(model.model_id, "FAILED")
        raise
    run.insist("the end of logging the model", lambda: _end(run, model, found, step))
    return str(model.model_id)


def _begun(run: TrackedRun, name: str, tags: Mapping[str, str]) -> LoggedModel:
    """The model that was begun with this key in the run, or a new one."""
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
    """Store all files and prove them; the extra ones come last, for one of them may take another's place."""
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
    """Write how MLflow loads the model: `sft_core.registry.serving` on the weights, from the copy of the code that is
    stored with them."""
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
