"""Files of the Prefect server that the commands of one state directory share.

    <home>/prefect/server/state.json      address and process of the server; missing while no server runs
    <home>/prefect/server/start.lock      held exclusively by the command that is starting a server
    <home>/prefect/server/TOKEN.lock      held shared by every command that uses the server with this token
    <home>/prefect/server/server.log      what the server prints

A lock file is a better sign of use than a list of process ids: the kernel releases the lock when a command ends,
however it ends. The server takes its own lock exclusively when it is about to end; from then on no command can join it.
"""

from pathlib import Path

from pydantic import BaseModel, ValidationError

from sft_core.store.durable import write_whole
from sft_core.store.locks import is_locked


class SharedServer(BaseModel):
    """A Prefect server that runs for the commands of one state directory."""

    url: str
    """Address without `/api`."""
    pid: int
    token: str
    """Value of `SFT_STACK_TOKEN` in the environment of its process. It identifies the process even if the id is
    reused."""
    idle_seconds: float
    """Time without any command after which the server ends."""

    @property
    def api(self) -> str:
        """Value for `PREFECT_API_URL`."""
        return f"{self.url}/api"


def server_folder(home: Path) -> Path:
    """Return the folder of the server's files."""
    return home / "prefect" / "server"


def state_file(home: Path) -> Path:
    """Return the path of the file that describes the running server."""
    return server_folder(home) / "state.json"


def lock_file(home: Path, token: str) -> Path:
    """Return the path of the lock file that the users of one server hold."""
    return server_folder(home) / f"{token}.lock"


def read_server(home: Path) -> SharedServer | None:
    """Read the description of the running server; None without one. The process may have been killed, so callers check
    its health."""
    try:
        return SharedServer.model_validate_json(state_file(home).read_bytes())
    except (OSError, ValidationError):
        return None


def write_server(home: Path, server: SharedServer) -> None:
    """Replace the description atomically."""
    write_whole(state_file(home), server.model_dump_json(indent=1).encode(), mode=0o600)


def forget_server(home: Path, token: str) -> None:
    """Remove the files of a server; `state.json` only if it describes this server."""
    found = read_server(home)
    if found is not None and found.token == token:
        state_file(home).unlink(missing_ok=True)
    lock_file(home, token).unlink(missing_ok=True)


def is_used(home: Path, server: SharedServer) -> bool:
    """Return True if a command holds the server's lock, or if the server is about to end."""
    return is_locked(lock_file(home, server.token))
