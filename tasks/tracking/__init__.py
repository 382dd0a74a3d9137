"""All code that calls MLflow: runs with their parameters, data, metrics and models, and the model registry.

The flow owns the run, from its first stage to its final status. The same recipe over the same bytes with the same code
uses the same run: a finished run is found and left as it is, a failed one is resumed. Metrics come from the trainer's
`metrics.jsonl`; a point that the run already has is never sent again, so forwarding can be repeated at any time.

Exported names are imported at their first use, so that a look-up (`lookup`) imports nothing that only runs need.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.tracking.evaluations import record_evaluation as record_evaluation
    from tasks.tracking.lineage import log_origin as log_origin
    from tasks.tracking.lineage import log_stages as log_stages
    from tasks.tracking.logged_models import log_checkpoint as log_checkpoint
    from tasks.tracking.logged_models import log_model as log_model
    from tasks.tracking.model_references import FoundModel as FoundModel
    from tasks.tracking.model_references import find_model as find_model
    from tasks.tracking.registry import Registry as Registry
    from tasks.tracking.registry import open_registry as open_registry
    from tasks.tracking.tracked_run import TrackedRun as TrackedRun
    from tasks.tracking.tracker import Tracker as Tracker
    from tasks.tracking.tracker import open_tracker as open_tracker
    from tasks.tracking.versions import RegisteredVersion as RegisteredVersion

_NAMES = {
    "evaluations": ("record_evaluation",),
    "lineage": ("log_origin", "log_stages"),
    "logged_models": ("log_checkpoint", "log_model"),
    "model_references": ("FoundModel", "find_model"),
    "registry": ("Registry", "open_registry"),
    "tracked_run": ("TrackedRun",),
    "tracker": ("Tracker", "open_tracker"),
    "versions": ("RegisteredVersion",),
}
"""Module → the names that it exports here."""


def __getattr__(name: str) -> Any:
    """Import an exported name at its first use (PEP 562)."""
    for module, names in _NAMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
