"""`sft up`, `sft status`, `sft down`: start, show and end the servers and workers of one machine."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from sft_cli.options import Debug, Json
from sft_cli.session import FAILURE, Session, session
from sft_core.errors import RecipeError

if TYPE_CHECKING:
    from rich.console import Console

    from deployments.stack.state import Stack

SHOWN_RUNS = 10
Port = Annotated[
    int | None,
    typer.Option("--port", min=1, max=65535, help="Port of the Prefect server; default 4200, or a free port."),
]
MlflowPort = Annotated[
    int | None,
    typer.Option("--mlflow-port", min=1, max=65535, help="Port of the MLflow server; default 5000, or a free port."),
]


def up(
    is_detached: Annotated[
        bool, typer.Option("--detach", help="Return when everything is up, and keep it running.")
    ] = False,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; other machines can connect with 0.0.0.0.")
    ] = "127.0.0.1",
    port: Port = None,
    mlflow_port: MlflowPort = None,
    postgres: Annotated[
        str | None,
        typer.Option(
            "--postgres",
            metavar="URL",
            envvar="SFT_POSTGRES",
            help="Store both servers' records on PostgreSQL: postgresql://USER:PASSWORD@HOST/. Default: sqlite.",
        ),
    ] = None,
    is_json: Json = False,
    is_debugging: Debug = False,
) -> None:
    """Start Prefect, MLflow, two workers and all deployments on this machine; Ctrl-C shuts them down in order."""
    with session(is_json, is_debugging) as current:
        from deployments.stack.front import Front, plan

        front = Front(plan(_home(), host, port, mlflow_port, postgres), is_detached)
        try:
            with front.attended():
                stack = front.until_up((lambda _: None) if is_detached else current.notify)
                if not is_detached:
                    _show_up(current, stack)
                    current.notify("Ctrl-C ends everything; runs in progress save a checkpoint first")
                    front.until_ended(current.notify)
        except KeyboardInterrupt:
            if is_detached:
                raise
            return
        if is_detached:
            _show_up(current, stack)


def status(is_json: Json = False, is_debugging: Debug = False) -> None:
    """Show what `sft up` keeps running: addresses, health, runs in progress and runs that wait; and the Prefect server
    that commands share without it."""
    with session(is_json, is_debugging) as current:
        from deployments.stack.state import kept_stack, read_stack

        home, console = _home(), current.console
        stack = kept_stack(home)
        if stack is None:
            left = read_stack(home)
            was_killed = left is not None and left.phase != "ended"
            hint = "; one was killed, and `sft down` or `sft up` removes what it left" if was_killed else ""
            console.print(f"no stack runs for {home}{hint}; `sft up` starts one")
            server = _shared_server(home)
            if server is not None:
                console.print(_in_words(server))
            current.emit({"status": "down", "home": str(home), "was_killed": was_killed, "prefect_server": server})
            return
        from deployments.stack.work import work_of

        work = work_of(stack)
        show_stack(console, stack, home)
        show_work(console, work)
        current.emit({**as_result(stack, home), **work})
        if stack.phase == "running" and any(part.health == "not answering" for part in stack.parts):
            raise typer.Exit(FAILURE)


def down(is_json: Json = False, is_debugging: Debug = False) -> None:
    """End what `sft up` started: runs in progress save a checkpoint, then workers and servers end. The Prefect server
    that commands share without it ends too, unless a command is using it."""
    with session(is_json, is_debugging) as current:
        from deployments.stack.front import bring_down
        from deployments.stack.shared_server import end_server
        from deployments.stack.state import is_kept

        home, console = _home(), current.console
        if is_kept(home):
            current.notify("ending; runs in progress save a checkpoint first")
        began = time.monotonic()
        ended = bring_down(home)
        seconds = time.monotonic() - began
        message = f"no stack ran for {home}" if ended is None else f"the stack for {home} has ended ({seconds:.1f} s)"
        console.print(message)
        was_shared = end_server(home)
        server = _shared_server(home)
        if server is not None:
            console.print(_in_words(server))
        elif was_shared is not None:
            console.print(f"the Prefect server that commands of {home} shared has ended")
        result = {"status": "down", "home": str(home), "was_running": ended is not None}
        current.emit({**result, "prefect_server_ended": was_shared is not None and server is None})


def _shared_server(home: Path) -> dict[str, Any] | None:
    """Return the Prefect server that commands share, as JSON values; None if no such server runs."""
    from deployments.stack.shared_server import running_server
    from deployments.stack.shared_server_state import is_used

    server = running_server(home)
    if server is None:
        return None
    own = server.model_dump(include={"pid", "idle_seconds"})
    return {"api_url": server.api, "is_used": is_used(home, server), **own}


def _in_words(server: dict[str, Any]) -> str:
    use = "a command is using it" if server["is_used"] else "no command is using it"
    return (
        f"commands share a Prefect server: {server['api_url']} (process {server['pid']}); {use}; it ends "
        f"{server['idle_seconds']:.0f} s after the last one"
    )


def _home() -> Path:
    from sft_core.processes.runtime import RuntimeConfig

    home = RuntimeConfig().home_folder(os.environ)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecipeError(f"SFT_HOME: expected a folder that can be made, found '{home}': {error.strerror}") from error
    return home


def _show_up(current: Session, stack: "Stack") -> None:
    console = current.console
    show_stack(console, stack, _home())
    for what, is_one in (("deployments", True), ("automations", False)):
        names = [name for name in stack.deployments if ("/" in name) == is_one]
        console.print(f"{what}: {', '.join(names)}")
    console.print(f"to train a recipe: {stack.prefect_url}/deployments, a deployment of run-recipe, Run, Custom run")
    current.emit(as_result(stack, _home()))


def as_result(stack: "Stack", home: Path) -> dict[str, Any]:
    """Return the description of a stack that `--json` prints."""
    return {
        "status": stack.phase,
        "home": str(home),
        "prefect_url": stack.prefect_url,
        "prefect_api_url": stack.prefect_api,
        "mlflow_url": stack.mlflow_url,
        "database": stack.database,
        "seconds_to_ready": stack.seconds_to_ready,
        "keeper": {"pid": int(stack.owner["sft.pid"]), "host": stack.owner["sft.host"]},
        "parts": [part.model_dump() for part in stack.parts],
        "deployments": stack.deployments,
    }


def show_stack(console: "Console", stack: "Stack", home: Path) -> None:
    """Print the addresses of a stack and the state of its parts."""
    from deployments.stack.state import logs_folder

    addresses = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    addresses.add_column(no_wrap=True)
    addresses.add_column(overflow="fold")
    addresses.add_row("Prefect", f"{stack.prefect_url}  (API {stack.prefect_api})")
    addresses.add_row("MLflow", stack.mlflow_url)
    ready = "" if stack.seconds_to_ready is None else f", up after {stack.seconds_to_ready:.0f} s"
    addresses.add_row("stack", f"{stack.phase}{ready}")
    addresses.add_row("records", stack.database)
    addresses.add_row("logs", str(logs_folder(home)))
    console.print(addresses)
    console.print()
    parts = Table("part", "health", "process", "restarts", box=None, padding=(0, 2, 0, 0))
    for part in stack.parts:
        parts.add_row(part.name, part.health, str(part.pid or "–"), str(part.num_restarts or "–"))
    console.print(parts)
    console.print()


def show_work(console: "Console", work: dict[str, Any]) -> None:
    """Print the runs in progress, and the runs that wait in each work pool."""
    for kind, words in (("running", "running"), ("waiting", "waiting")):
        runs = work[kind]
        pools: dict[str, int] = {}
        for run in runs:
            pools[run["pool"] or "no pool"] = pools.get(run["pool"] or "no pool", 0) + 1
        counts = ", ".join(f"{count:,} in {pool}" for pool, count in sorted(pools.items())) or "none"
        console.print(f"{words}: {counts}")
        for run in runs[:SHOWN_RUNS]:
            console.print(f"  {run['name']}  {run['state']}  {run['since']}  {run['url']}")
