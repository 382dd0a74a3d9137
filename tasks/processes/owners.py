"""Who works on a run, and whether they still live.

A run names its owner: host, process, and when that process started, because the kernel gives a number again. An owner
that lives says so once a minute. From this, anybody who starts later can tell a run at work from one that was left:

| the owner is | it counts as dead |
| --- | --- |
| on this host, in this kernel and pid namespace | when there is no such process |
| on this host otherwise: before a restart, or in a container beside | when it was silent for 5 minutes |
| on another host | when it was silent for 24 hours |
"""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

PLACEMENT = "It says which process does the work."

HEARTBEAT_TAG = "sft.heartbeat"
"""When the owner last said that it lives, in whole seconds since 1970."""
HEARTBEAT_SECONDS = 60.0
SILENT_SECONDS_OF_A_RESTART = 5 * 60.0
SILENT_SECONDS_OF_A_HOST = 24 * 3600.0
"""Longer than clocks differ and than MLflow is away: while it is, a living owner cannot say that it lives."""


def owner_tags() -> dict[str, str]:
    """This process as an owner."""
    return {
        "sft.host": socket.gethostname(),
        "sft.kernel": _kernel(),
        "sft.pid": str(os.getpid()),
        "sft.process_start": _process_start(os.getpid()) or "",
        **heartbeat(),
    }


def heartbeat() -> dict[str, str]:
    """The sign of life, as a tag."""
    return {HEARTBEAT_TAG: str(int(time.time()))}


def is_this_process(tags: Mapping[str, str]) -> bool:
    """Whether the owner that a run's tags name is this process."""
    mine = owner_tags()
    return all(tags.get(name) == value for name, value in mine.items() if name != HEARTBEAT_TAG)


def why_dead(tags: Mapping[str, str], heard_of: float) -> str | None:
    """Judge the owner that a run's tags name.

    Args:
        tags: The run's.
        heard_of: When the owner was last heard of, in seconds since 1970.

    Returns:
        Why it counts as dead; None if it lives, or may.
    """
    host, pid = tags.get("sft.host"), tags.get("sft.pid", "")
    silent = time.time() - heard_of
    if host != socket.gethostname():
        return _silence(f"host {host}", silent, SILENT_SECONDS_OF_A_HOST)
    if tags.get("sft.kernel") != _kernel():
        return _silence(f"host {host} before it was started anew", silent, SILENT_SECONDS_OF_A_RESTART)
    started = _process_start(int(pid)) if pid.isdecimal() else None
    if started is None:
        return f"process {pid} on host {host} is gone"
    if started != tags.get("sft.process_start"):
        return f"process {pid} on host {host} is gone, and another has its number"
    return None


def _silence(who: str, seconds: float, limit: float) -> str | None:
    return f"nothing was heard of {who} for {seconds / 60:,.0f} minutes" if seconds >= limit else None


def _kernel() -> str:
    """What tells this boot of this machine, and this pid namespace, from all others."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"


def _process_start(pid: int) -> str | None:
    """Clock ticks from the boot to the start of a process (field 22 of proc(5) stat); None if there is none, or only
    what its parent has not yet taken note of."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]
