"""All that knows MLflow: a run's life, its parameters, data, metrics and models.

The flow owns the run, from its first stage to its final status. The same recipe over the same bytes with the same code
goes on in the same run: a finished one is left as it is and found again, a failed one is resumed. Metrics come from
the trainer's `metrics.jsonl`; a point that the run already has is never sent again, so that forwarding can be repeated
at will.
"""

from tasks.tracking.evaluations import record_evaluation
from tasks.tracking.lineage import log_origin, log_stages
from tasks.tracking.logged_models import CONTENT_TAG, log_checkpoint, log_model
from tasks.tracking.model_references import FoundModel, find_model
from tasks.tracking.registry import RegisteredVersion, Registry, open_registry
from tasks.tracking.tracked_run import TrackedRun
from tasks.tracking.tracker import Tracker, open_tracker

__all__ = [
    "CONTENT_TAG",
    "FoundModel",
    "RegisteredVersion",
    "Registry",
    "TrackedRun",
    "Tracker",
    "find_model",
    "log_checkpoint",
    "log_model",
    "log_origin",
    "log_stages",
    "open_registry",
    "open_tracker",
    "record_evaluation",
]
