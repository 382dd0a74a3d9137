"""Default environment of a command: quiet, without telemetry, and with a choice of servers.

Without configured servers, a command uses the servers of the state directory's stack, if `sft up` keeps one running;
otherwise a Prefect server that the commands of the state directory share.

The functions must be called before Prefect or MLflow are imported, because both read the environment then. Variables
that are already set are not changed.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from deployments.environment import HEARTBEAT_ENVIRONMENT
from deployments.stack.addresses import answers
from deployments.stack.shared_server import join_server
from deployments.stack.state import Stack, kept_stack
from sft_core.errors import RecipeError
from sft_core.processes.runtime import RuntimeConfig
from tasks.processes.servers import ADDRESS_VARIABLE

if TYPE_CHECKING:
    from sft_core.recipe import Recipe

STACK_VARIABLE = "SFT_STACK"
"""Environment variable; with `off`, a command does not use the stack."""


def open_home(runtime: RuntimeConfig | None = None, is_debugging: bool = False) -> Path:
    """Make the state directory, and set the environment of a command; return the directory.

    Args:
        runtime: The `runtime` section of a recipe; None uses `$SFT_HOME`, else `.sft`.
        is_debugging: Show Prefect's logs on the console.

    Raises:
        RecipeError: if the state directory cannot be made.
    """
    home = (runtime or RuntimeConfig()).home_folder(os.environ)
    configure(home, is_debugging)
    return home


def check_inputs(recipe: "Recipe", is_debugging: bool = False) -> Path:
    """Open the state directory of a recipe, and check that its inputs exist before any work; return the directory.

    Raises:
        UserError: if an input is missing.
    """
    from sft_core.recipe.inputs import locate_inputs
    from sft_core.store.file_digests import FileDigests

    home = open_home(recipe.runtime, is_debugging)
    locate_inputs(recipe, FileDigests.below(home))
    return home


def configure(home: Path, is_debugging: bool) -> None:
    """Set the environment variables of a command that are not set yet, and make the state directory.

    Args:
        home: The state directory.
        is_debugging: Show Prefect's logs on the console.

    Raises:
        RecipeError: if the state directory cannot be made.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecipeError(
            f"runtime.home: expected a folder that can be made and written to, found '{home}': {error.strerror}; "
            "set runtime.home or SFT_HOME to another folder"
        ) from error
    use_stack(home)
    defaults = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLI_PROMPT": "false",
        # a busy server on SQLite sometimes answers 503; the default of 5 retries is too few on a loaded machine
        "PREFECT_CLIENT_MAX_RETRIES": "10",
        **HEARTBEAT_ENVIRONMENT,
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        # with MLflow's own defaults (7 retries), one metric waits four minutes for a server that is down
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "true",
    }
    if not is_debugging:
        defaults["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
    if "PREFECT_API_URL" not in os.environ:
        defaults |= {
            "PREFECT_HOME": str(home / "prefect"),
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
            "PREFECT_LOGGING_TO_API_ENABLED": "true",
            "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def use_shared_server(home: Path) -> None:
    """Set `PREFECT_API_URL` to the server that the commands of a state directory share; start it if it does not run."""
    if "PREFECT_API_URL" in os.environ:
        return
    server = join_server(home)
    if server is not None:
        os.environ |= {"PREFECT_API_URL": server.api, ADDRESS_VARIABLE: server.url}


def use_stack(home: Path) -> None:
    """Set the addresses of the stack's servers, for servers that are not configured and that answer.

    A stack that is starting or ending, or a server that does not answer, is not used. On SQLite a command works without
    the servers, because it uses the same databases, and its runs appear in the servers later.
    """
    if os.environ.get(STACK_VARIABLE, "").lower() in ("off", "0", "false", "no"):
        return
    stack = kept_stack(home)
    if stack is None or stack.phase != "running":
        return
    for name, value in _servers(stack).items():
        os.environ.setdefault(name, value)


def _servers(stack: Stack) -> dict[str, str]:
    found: dict[str, str] = {}
    if "PREFECT_API_URL" not in os.environ and answers(f"{stack.prefect_api}/health"):
        found |= {"PREFECT_API_URL": stack.prefect_api, "PREFECT_UI_URL": stack.prefect_url}
    if "MLFLOW_TRACKING_URI" not in os.environ and answers(f"{stack.mlflow_url}/health"):
        found |= {"MLFLOW_TRACKING_URI": stack.mlflow_url, "SFT_TRACKING_STORE": stack.store}
    return found
