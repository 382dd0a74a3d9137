"""The owner process of an MLflow run, and the decision whether it is still alive.

The tags of a run name its owner: host, process id, and the start time of that process, because the kernel reuses
process ids. A living owner writes a heartbeat tag once a minute. From these tags, a process that starts later can
distinguish a run in progress from an abandoned one:

| the owner is | it counts as dead |
| --- | --- |
| on this host, in this boot and pid namespace | if there is no such process |
| on this host, but before a reboot or in another container | after 5 minutes without a heartbeat |
| on another host | after 24 hours without a heartbeat |
"""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

PLACEMENT = "It records which process does the work."

HEARTBEAT_TAG = "sft.heartbeat"
"""Tag with the time of the owner's last heartbeat, in whole seconds since 1970."""
HEARTBEAT_SECONDS = 60.0
SILENT_SECONDS_OF_A_RESTART = 5 * 60.0
SILENT_SECONDS_OF_A_HOST = 24 * 3600.0
"""Longer than clocks may differ and than MLflow may be unreachable, since heartbeats cannot be written meanwhile."""


def owner_tags() -> dict[str, str]:
    """Return the tags that name this process as the owner of a run."""
    return {
        "sft.host": socket.gethostname(),
        "sft.kernel": _kernel(),
        "sft.pid": str(os.getpid()),
        "sft.process_start": _process_start(os.getpid()) or "",
        **heartbeat(),
    }


def heartbeat() -> dict[str, str]:
    """Return the heartbeat tag with the present time."""
    return {HEARTBEAT_TAG: str(int(time.time()))}


def is_this_process(tags: Mapping[str, str]) -> bool:
    """Return True if the owner that a run's tags name is this process."""
    mine = owner_tags()
    return all(tags.get(name) == value for name, value in mine.items() if name != HEARTBEAT_TAG)


def is_local(tags: Mapping[str, str]) -> bool:
    """Return True if the owner is on this host, in this boot and pid namespace, where its process id is valid."""
    return tags.get("sft.host") == socket.gethostname() and tags.get("sft.kernel") == _kernel()


def why_dead(tags: Mapping[str, str], heard_of: float) -> str | None:
    """Decide whether the owner that a run's tags name is dead.

    Args:
        tags: The tags of the run.
        heard_of: Time of the owner's last heartbeat, in seconds since 1970.

    Returns:
        The reason why it counts as dead; None if it is alive or may be.
    """
    host, pid = tags.get("sft.host"), tags.get("sft.pid", "")
    silent = time.time() - heard_of
    if host != socket.gethostname():
        return _silence(f"host {host}", silent, SILENT_SECONDS_OF_A_HOST)
    if not is_local(tags):
        return _silence(f"host {host} before its last boot", silent, SILENT_SECONDS_OF_A_RESTART)
    started = _process_start(int(pid)) if pid.isdecimal() else None
    if started is None:
        return f"process {pid} on host {host} is gone"
    if started != tags.get("sft.process_start"):
        return f"process {pid} on host {host} is gone, and another process has its id"
    return None


def _silence(who: str, seconds: float, limit: float) -> str | None:
    return f"no heartbeat from {who} for {seconds / 60:,.0f} minutes" if seconds >= limit else None


def _kernel() -> str:
    """Return an id that is unique to this boot of this machine and to this pid namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"


def _process_start(pid: int) -> str | None:
    """Return the clock ticks from the boot to the start of a process (field 22 of proc(5) stat).

    psutil reports this time only as seconds since 1970, which change with the clock of the machine.

    Returns:
        None if there is no such process, or only a zombie that its parent has not yet waited for.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]
