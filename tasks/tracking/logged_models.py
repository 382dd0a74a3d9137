"""A trained model as an entity of MLflow: weights, what loads them, and what they were made from."""

from collections.abc import Mapping
from pathlib import Path

from mlflow import pyfunc
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Array, Object, Property

from sft_core.serving import DEFAULT_MAX_TOKENS
from tasks.tracking.tracked_run import TrackedRun


def log_model(run: TrackedRun, name: str, folder: Path, extra_files: Path, step: int, tags: Mapping[str, str]) -> str:
    """Log a model folder without loading it and without a second copy on the way.

    Args:
        run: The run that made it.
        name: What to call it.
        folder: Weights, configuration and tokenizer.
        extra_files: A folder with what goes beside them: `MLmodel` is added to it.
        step: Optimizer step of the weights.
        tags: What it was made from.

    Returns:
        The id of the logged model.
    """
    client = run.client
    model = client.create_logged_model(run.experiment_id, name=name, source_run_id=run.run_id, tags=dict(tags))
    try:
        _write_mlmodel(extra_files, run.run_id, model.model_id, is_chat=(folder / "chat_template.jinja").exists())
        client.log_model_artifacts(model.model_id, str(extra_files))
        client.log_model_artifacts(model.model_id, str(folder), "model")
        client.finalize_logged_model(model.model_id, "READY")
    except BaseException:
        client.finalize_logged_model(model.model_id, "FAILED")
        raise
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
