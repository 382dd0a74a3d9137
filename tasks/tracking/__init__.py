"""All code that calls MLflow: runs with their parameters, data, metrics and models, and the model registry.

The flow owns the run, from its first stage to its final status. The same recipe over the same bytes with the same code
uses the same run: a finished run is found and left as it is, a failed one is resumed. Metrics come from the trainer's
`metrics.jsonl`; a point that the run already has is never sent again, so forwarding can be repeated at any time.

Exported names are imported at their first use, so that a look-up (`lookup`) imports nothing that only runs need.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.tracking.evaluations import record_evaluation
    from tasks.tracking.lineage import log_origin, log_stages
    from tasks.tracking.logged_models import log_checkpoint, log_model
    from tasks.tracking.model_references import FoundModel, find_model
    from tasks.tracking.registry import RegisteredVersion, Registry, open_registry
    from tasks.tracking.tracked_run import TrackedRun
    from tasks.tracking.tracker import Tracker, open_tracker

_MODULES = {
    "FoundModel": "model_references",
    "RegisteredVersion": "registry",
    "Registry": "registry",
    "TrackedRun": "tracked_run",
    "Tracker": "tracker",
    "find_model": "model_references",
    "log_checkpoint": "logged_models",
    "log_model": "logged_models",
    "log_origin": "lineage",
    "log_stages": "lineage",
    "open_registry": "registry",
    "open_tracker": "tracker",
    "record_evaluation": "evaluations",
}

__all__ = [
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


def __getattr__(name: str) -> Any:
    """Import an exported name at its first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
