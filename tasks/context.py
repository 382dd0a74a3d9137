"""Access to the current Prefect flow run that does not import Prefect outside of one.

Commands that only query results or prepare data run no flow, and importing Prefect would cost them seconds.
"""

import sys
from typing import Any

PLACEMENT = "It reads which flow run this is, which does not change any result."


def is_in_flow() -> bool:
    """Return True inside a flow run, in its main context or in one of its tasks."""
    return current_flow_run() is not None


def current_flow_run() -> Any | None:
    """Return `prefect.runtime.flow_run` inside a flow run, else None."""
    if "prefect.context" not in sys.modules:
        return None
    from prefect.runtime import flow_run

    return flow_run if flow_run.id else None
