"""Stands in for the interpreter: has the server fork a process that runs a module, and ends as that process ends.

`start.py` writes this file to a temporary folder, with the call of `main` at its end. It is run with `-I -S`, and
imports little, so that it starts in hundredths of a second.
"""

import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

PR_SET_PDEATHSIG = 1
ON_THEIR_OWN = ("sft_cli.main", "prefect.engine")
"""Modules that do not ask the kernel to die with their parent."""


def main(interpreter: str, address: str, **known: Any) -> None:
    """Do what the interpreter would with this process's arguments.

    Args:
        interpreter: What runs all that the server does not.
        address: Of the server's socket.
        known: What the server knows, for `is_known`.
    """
    words = sys.argv[1:]
    module = words[words.index("-m") + 1 :] if words[:1] == ["-m"] or words[:2] == ["-u", "-m"] else []
    if not is_known(module, **known):
        os.execv(interpreter, [interpreter, *words])
    if module[0] not in ON_THEIR_OWN:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    status = ask(address, module)
    if os.WIFSIGNALED(status):
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


def is_known(module: list[str], modules: tuple[str, ...], hub: dict[str, str | None]) -> bool:
    """Return whether the server runs a module and its arguments: one that it knows, with some code of ours and with its
    Hub."""
    if not module or not (module[0] in modules or module[0].startswith("tests.")):
        return False
    has_code = code_of(os.getcwd(), os.environ) is not None  # noqa: PTH109
    return has_code and {name: os.environ.get(name) for name in hub} == hub


def code_of(folder: str, environment: Mapping[str, str]) -> str | None:
    """Return the folder that `python -m` imports our modules from, when it is started in a folder."""
    folders = [folder, *environment.get("PYTHONPATH", "").split(os.pathsep)]
    return next((folder for folder in folders if os.path.isdir(os.path.join(folder, "sft_core"))), None)  # noqa: PTH112, PTH118


def ask(address: str, words: list[str]) -> int:
    """Have the server run a module with arguments; return how it ended, as `os.waitpid` gives it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.connect(address)
        request = json.dumps({"words": words, "folder": os.getcwd(), "environment": dict(os.environ)}).encode()  # noqa: PTH109
        socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
        server.sendall(request)
        answers = server.makefile("r")
        pid = int(answers.readline())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: os.kill(pid, number))
        return int(answers.readline())
