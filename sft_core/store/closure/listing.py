"""Files that store closures by their digest, so that a changed key can be explained function by function."""

from pathlib import Path

import orjson

from sft_core.store.closure.walk import Closure
from sft_core.store.durable import write_whole

PLACEMENT = "It determines keys, and computes nothing that is stored."


def keep_listing(folder: Path, closure: Closure) -> None:
    """Write the digests of a closure's definitions into `<folder>/<digest>.json`, unless the file exists."""
    file = _file(folder, closure.digest)
    if file.exists():
        return
    write_whole(file, orjson.dumps(dict(closure.definitions)))


def changed_definitions(folder: Path, before: str, closure: Closure) -> list[str] | None:
    """Compare a closure with an earlier one.

    Args:
        folder: As in `keep_listing`.
        before: The earlier closure's digest.
        closure: The present one.

    Returns:
        A line for each difference, such as `sft_core.data.packing.bfd:plan changed`; None if no file
        of the earlier closure is stored.
    """
    try:
        earlier: dict[str, str] = orjson.loads(_file(folder, before).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    now = closure.definitions
    lines = []
    for name in sorted({*earlier, *now}):
        if name not in earlier:
            lines.append(f"{name} is new")
        elif name not in now:
            lines.append(f"{name} is no longer used")
        elif earlier[name] != now[name]:
            lines.append(f"{name} changed")
    return lines


def _file(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.json"
