"""Prefect server of a call, chosen like that of a command.

The choice is made by the first call and holds until the process ends: Prefect's settings and the lock on the shared
Prefect server belong to the process. The shared server ends some minutes after the last process that uses it.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sft_core.recipe import Recipe


def start_flow(recipe: "Recipe") -> None:
    """Check the inputs of a recipe, and choose a Prefect server for the flow that follows.

    Raises:
        UserError: if an input is missing, or if the state directory cannot be made.
    """
    from deployments.stack.embedded import check_inputs, use_shared_server

    use_shared_server(check_inputs(recipe))
    if "prefect" in sys.modules:  # a notebook may have imported Prefect before the environment was set
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()
