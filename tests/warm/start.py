"""The path of an interpreter whose imports are done, and the start of the server behind it; see the package."""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sft_core.processes.subprocesses import die_with_parent

CHECKOUT = Path(__file__).parents[2]
ROOMS = ("sft_core.training", "sft_core.evaluation", "sft_core.registry.verification")
LAUNCHERS = ("accelerate.commands.launch", "torch.distributed.run")
MODULES = ("sft_cli.main", "prefect.engine", *ROOMS, *LAUNCHERS)
"""What is run: `python -m MODULE`; modules of the tests as well."""
HUB = ("HF_ENDPOINT", "HF_HOME", "HF_HUB_OFFLINE")
"""Variables that the Hub's client reads when it is imported."""
SECONDS_TO_IMPORT = 300.0


@functools.cache
def warm_python() -> Path:
    """Return the path of an interpreter that asks a server, which is started for this process and ends with it."""
    folder = Path(tempfile.mkdtemp(prefix="sft-warm-"))
    address, client = folder / "socket", folder / "python"
    known = {
        "interpreter": sys.executable,
        "address": str(address),
        "modules": MODULES,
        "hub": {name: os.environ.get(name) for name in HUB},
    }
    body = Path(__file__).with_name("client.py").read_text(encoding="utf-8")
    client.write_text(f"#!{sys.executable} -IS\n{body}\n\nmain(**{known!r})\n", encoding="utf-8")
    client.chmod(0o755)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.warm.server", str(folder)],
            cwd=CHECKOUT,
            env=os.environ | {"PYTHONPATH": str(CHECKOUT), "PREFECT_HOME": str(folder / "prefect")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    atexit.register(_end, server, folder)
    deadline = time.monotonic() + SECONDS_TO_IMPORT
    while not address.exists():
        assert server.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, "the imports have not come to an end"
        time.sleep(0.05)
    return client


def _end(server: "subprocess.Popen[bytes]", folder: Path) -> None:
    server.kill()
    server.wait(30)
    shutil.rmtree(folder, ignore_errors=True)
