"""Which kind of Prefect server this process uses."""

import os
from collections.abc import Mapping

PLACEMENT = "It says where flow runs are shown."
ADDRESS_VARIABLE = "SFT_PREFECT_SERVER"
"""Set in a command that uses the server which the commands of its state directory share: the address of that server."""


def uses_shared_server(environment: Mapping[str, str] = os.environ) -> bool:
    """True in a command that uses the server which commands share: it has no pages, and ends some minutes later."""
    return bool(environment.get(ADDRESS_VARIABLE))


def server_with_pages(environment: Mapping[str, str] = os.environ) -> str | None:
    """The API address of a Prefect server whose pages people can open; None if there is none."""
    return None if uses_shared_server(environment) else environment.get("PREFECT_API_URL")
