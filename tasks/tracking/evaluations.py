"""Records of an evaluation of an existing model: the model, its scores, and the data that they were measured on."""

from collections.abc import Mapping

from mlflow.entities import LoggedModelInput

from tasks.tracking.model_references import FoundModel
from tasks.tracking.tracked_run import TrackedRun


def record_evaluation(
    run: TrackedRun,
    model: FoundModel,
    scores: Mapping[str, float],
    dataset_name: str,
    dataset_digest: str,
    measured_at: float,
) -> None:
    """Name the model in the tags of the run, and log the scores on the model if it is in MLflow, so that models can be
    searched by them.

    A repeated call changes nothing, because MLflow recognizes a point by its time.

    Args:
        run: The run of the evaluation.
        model: The model that was evaluated.
        scores: Name → score.
        dataset_name: Name of the held-out data, as in the run.
        dataset_digest: Digest of the content of the held-out data.
        measured_at: Time of the measurement, in seconds since 1970.
    """
    tags = {"sft.kind": "evaluation", "mlflow.source.name": "flows.score_model", "sft.model_folder": str(model.folder)}
    known = {"sft.model_id": model.model_id, "sft.model_run_id": model.run_id}
    tags |= {name: value for name, value in known.items() if value is not None}
    run.set_tags(tags)
    if model.model_id is None:
        return
    data = (dataset_name, dataset_digest)
    run.record_model_scores(model.model_id, 0, scores, data, int(measured_at * 1000))
    run.client.log_inputs(run.run_id, models=[LoggedModelInput(model.model_id)])
