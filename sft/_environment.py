"""State directory and servers of a call, chosen like those of a command.

The choice is made by the first call and holds until the process ends: Prefect's settings and the lock on the shared
Prefect server belong to the process. The shared server ends some minutes after the last process that uses it.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sft_core.processes.runtime import RuntimeConfig
    from sft_core.recipe import Recipe


def open_home(runtime: "RuntimeConfig | None" = None) -> Path:
    """Make the state directory, and set the environment that Prefect and MLflow read; return the directory.

    Args:
        runtime: The `runtime` section of a recipe; None uses `$SFT_HOME`, else `.sft`.

    Raises:
        RecipeError: if the directory cannot be made.
    """
    from deployments.stack.embedded import configure
    from sft_core.processes.runtime import RuntimeConfig

    home = (runtime or RuntimeConfig()).home_folder(os.environ)
    configure(home, is_debugging=False)
    return home


def check_inputs(recipe: "Recipe") -> Path:
    """Open the state directory of a recipe, and check that its inputs exist; return the directory.

    Raises:
        UserError: if an input is missing.
    """
    from sft_core.recipe.inputs import locate_inputs
    from sft_core.store.file_digests import FileDigests

    home = open_home(recipe.runtime)
    locate_inputs(recipe, FileDigests.below(home))
    return home


def start_flow(recipe: "Recipe") -> None:
    """Check the inputs of a recipe, and choose a Prefect server for the flow that follows."""
    from deployments.stack.embedded import use_shared_server

    use_shared_server(check_inputs(recipe))
    if "prefect" in sys.modules:  # a notebook may have imported Prefect before the environment was set
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()
