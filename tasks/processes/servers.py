"""The kind of Prefect server that this process uses."""

import os
from collections.abc import Mapping

PLACEMENT = "It finds where flow runs are shown."
ADDRESS_VARIABLE = "SFT_PREFECT_SERVER"
"""Environment variable with the address of the server that all commands of a state directory share. It is set in a
command that uses this server."""


def uses_shared_server(environment: Mapping[str, str] = os.environ) -> bool:
    """Return True in a command that uses the shared server, which has no web pages and ends some minutes later."""
    return bool(environment.get(ADDRESS_VARIABLE))


def server_with_pages(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the API address of a Prefect server that serves web pages; None if this process uses no such server."""
    return None if uses_shared_server(environment) else environment.get("PREFECT_API_URL")
