"""The Prefect flow run at work, asked without importing Prefect where there is none.

Commands that only look at things and prepare data run no flow, and importing Prefect would cost them seconds.
"""

import sys
from typing import Any

PLACEMENT = "Who asked for the work does not change it."


def is_in_flow() -> bool:
    """True inside a flow run, in its main context or in one of its tasks."""
    return current_flow_run() is not None


def current_flow_run() -> Any | None:
    """`prefect.runtime.flow_run` inside a flow run, else None."""
    if "prefect.context" not in sys.modules:
        return None
    from prefect.runtime import flow_run

    return flow_run if flow_run.id else None
