"""An evaluation of a model that is there already: whose scores they are, and on which rows."""

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
    """Name the model in the run, and give a model that MLflow knows the scores, so that models can be searched by them.

    Doing so again changes nothing: a point is known by its time.

    Args:
        run: Of the evaluation.
        model: Whose scores they are.
        scores: By name.
        dataset_name: Of the held-out rows, as the run names them.
        dataset_digest: Of their content.
        measured_at: Seconds since 1970.
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
