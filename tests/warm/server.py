"""Imports all that a run needs, once, and forks for each request; see the package."""

import contextlib
import importlib
import json
import logging
import os
import pkgutil
import runpy
import selectors
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.warm.client import code_of
from tests.warm.start import CHECKOUT

PACKAGES = ("sft_cli", "flows", "tasks", "sft_core.training", "sft_core.evaluation", "sft_core.registry.verification")
"""All of their modules are imported, and so is what these import."""
OURS = {"deployments", "sft", *(package.partition(".")[0] for package in PACKAGES)}
LATE = (
    "accelerate.commands.launch",
    "deployments.deploying",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "prefect.client.orchestration",
    "prefect.flow_engine",
    "prefect.task_engine",
    "torch.distributed.fsdp",
    "torch.distributed.run",
    "transformers.models.llama.modeling_llama",
)
"""Modules that are otherwise imported when they are first used."""


@dataclass(frozen=True)
class Request:
    """A command line, and where it is to run."""

    words: list[str]
    folder: str
    environment: dict[str, str]
    streams: list[int]
    connection: socket.socket

    @classmethod
    def read(cls, connection: socket.socket) -> "Request":
        head, streams, _, _ = socket.recv_fds(connection, 8, 3)
        size = int.from_bytes(head, "big")
        with connection.makefile("rb") as reader:
            return cls(**json.loads(reader.read(size)), streams=streams, connection=connection)

    def take_over(self) -> None:
        """Turn this process, which was forked for it, into the one that was asked for."""
        os.setsid()
        for number, stream in enumerate(self.streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(self.environment)
        sys.dont_write_bytecode = bool(self.environment.get("PYTHONDONTWRITEBYTECODE"))
        os.chdir(self.folder)
        entries = self.environment.get("PYTHONPATH", "").split(os.pathsep)
        sys.path[:0] = [self.folder, *(entry for entry in entries if entry not in sys.path)]
        if code_of(self.folder, self.environment) != str(CHECKOUT):
            _forget_our_code()
            if self.words[0] == "sft_cli.main":
                _read_settings_after(importlib.import_module("deployments.stack.embedded"))
        if self.words[0] == "prefect.engine":
            _read_settings()
        elif self.words[0] != "sft_cli.main":
            _log_as_by_default()
        threading.Thread(target=self._end_with_client, daemon=True).start()

    def _end_with_client(self) -> None:
        self.connection.recv(1)  # nothing is ever sent: it returns when the client has ended
        os.kill(os.getpid(), 9)

    def run(self) -> None:
        """Run the module as `python -m` does."""
        module, *arguments = self.words
        sys.argv[:] = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def _forget_our_code() -> None:
    """Let our modules be imported once more, from a copy that was edited, or from the code that is stored with a model;
    libraries stay as they are."""
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]


def _log_as_by_default() -> None:
    """Undo what Prefect and MLflow have set, which only the command imports."""
    root = logging.getLogger()
    root.handlers.clear()
    root.setLevel(logging.WARNING)


def serve(address: Path) -> Request:
    """Answer requests for as long as this process lives; return in each process that is forked for one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, selectors.DefaultSelector() as looked_at:
        listener.bind(str(address.with_suffix(".new")))
        listener.listen(64)
        address.with_suffix(".new").rename(address)
        looked_at.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in looked_at.select():
                if key.fileobj is not listener:
                    looked_at.unregister(key.fileobj)
                    _tell_how_it_ended(key.fd, *key.data)
                    continue
                request = Request.read(listener.accept()[0])
                if (pid := os.fork()) == 0:
                    return request
                for stream in request.streams:
                    os.close(stream)
                request.connection.sendall(f"{pid}\n".encode())
                looked_at.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, request.connection))


def _tell_how_it_ended(process: int, pid: int, connection: socket.socket) -> None:
    _, status = os.waitpid(pid, 0)
    os.close(process)
    with contextlib.suppress(OSError):  # the client has ended first
        connection.sendall(f"{status}\n".encode())
    connection.close()


def load(folder: Path) -> None:
    """Import everything."""
    from deployments.stack import embedded
    from sft_core.processes.garbage import uncollected

    embedded.configure(folder / "home", is_debugging=False)
    uncollected(lambda: [_import(name) for name in (*_modules(), *LATE)])
    _read_code()
    _read_settings_after(embedded)


def _read_code() -> None:
    """Find the code that keys depend on, which is kept for as long as a process lives."""
    from sft_core.store.closure import own_code
    from tasks.stages.codebase import definition_of, pipeline_code

    pipeline_code()
    for stage in ("report_data", "register_model"):
        own_code().closure(definition_of(stage))


def _modules() -> list[str]:
    found = []
    for package in PACKAGES:
        folder = CHECKOUT / package.replace(".", "/")
        found += [module.name for module in pkgutil.walk_packages([str(folder)], f"{package}.")]
    return [name for name in found if name != "sft_cli.main" and not name.endswith(".__main__")]


def _import(name: str) -> None:
    with contextlib.suppress(ModuleNotFoundError):  # of an optional library
        importlib.import_module(name)


def _read_settings_after(embedded: Any) -> None:
    """Let Prefect read the environment where a command has just prepared it: it did when it was imported here."""

    def and_read(prepare: Callable[..., Any]) -> Callable[..., Any]:
        def prepare_and_read(*arguments: Any, **named: Any) -> Any:
            prepared = prepare(*arguments, **named)
            _read_settings()
            return prepared

        return prepare_and_read

    for name in ("configure", "use_shared_server"):
        setattr(embedded, name, and_read(getattr(embedded, name)))


def _read_settings() -> None:
    from prefect.context import refresh_global_settings_context
    from prefect.logging.configuration import setup_logging

    refresh_global_settings_context()
    setup_logging()


def main() -> None:
    folder = Path(sys.argv[1])
    load(folder)
    request = serve(folder / "socket")
    sys.executable = str(folder / "python")
    request.take_over()
    request.run()


if __name__ == "__main__":
    main()
