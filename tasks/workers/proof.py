"""What a worker of a cluster has to show before it is trusted with a shard: that it sees this home, and runs this code.

A worker on another machine may have another checkout, other libraries, or a folder of the same name that is not shared;
and one that has run for a week still holds the code of last week in its memory, whatever lies on the disk by now. Each
would write wrong rows under a right key. So every unit that is sent carries a `Proof`, and the worker checks it before
the first unit of a run; `CODE` is digested when the process loads this module, which is before it loads any room.
"""

import functools
import os
import re
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import sft_core
from sft_core.errors import RecipeError
from sft_core.store.closure import library_versions, own_code
from sft_core.store.fingerprint import digest
from tasks.stages.codebase import definition_of

PLACEMENT = "It decides where work is done."

SHARD_STAGES = ("ingest_sources", "detect_formats", "gather_images", "render_chats", "tokenize_chats")


def _code() -> str:
    root = Path(sft_core.__file__ or "").parent
    return digest({path.relative_to(root).as_posix(): path.read_text("utf-8") for path in sorted(root.rglob("*.py"))})


CODE = _code()
"""Digest of the files of `sft_core`, as they lay when this process loaded them."""


def _shard_libraries() -> dict[str, str | None]:
    """The libraries that decide what shards hold, as the keys of the stages have them, in the versions installed
    here."""
    closures = [own_code().closure(definition_of(stage)) for stage in SHARD_STAGES]
    return library_versions({library for closure in closures for library in closure.libraries})


@dataclass(frozen=True, slots=True)
class Proof:
    """What the process that sends work is, for a worker to compare itself with."""

    sign: Path
    """A file in the home that exists while the run lasts."""
    word: str
    """What stands in it."""
    code: str
    libraries: tuple[tuple[str, str | None], ...]

    def check(self) -> None:
        """In a worker: compare.

        Raises:
            RecipeError: with what is different here.
        """
        here = f"the worker on {socket.gethostname()} (process {os.getpid()})"
        try:
            word = self.sign.read_text("utf-8")
        except OSError as error:
            raise RecipeError(
                f"runtime.task_runner: {here} cannot read {self.sign} ({error.strerror}); the workers of a cluster "
                "need the same home at the same path: put runtime.home on a file system that they share"
            ) from error
        if word != self.word:
            raise RecipeError(f"runtime.task_runner: {here} finds another file at {self.sign}; the home is not shared")
        if self.code != CODE:
            raise RecipeError(
                f"runtime.task_runner: {here} holds other code of `sft_core` than this process; start the workers anew "
                "from this checkout (PYTHONPATH set to it)"
            )
        found = library_versions(name for name, _ in self.libraries if name != "python")
        others = [f"{name} {found[name]} instead of {own}" for name, own in self.libraries if found[name] != own]
        if others:
            raise RecipeError(f"runtime.task_runner: {here} has {', '.join(others)}; install the same versions there")

    def guard(self, unit: Callable[[], Any]) -> Callable[[], None]:
        """The unit, for a worker that is to show this first."""
        return functools.partial(_do_if_proven, self, unit)


@functools.cache
def _check_once(proof: Proof) -> None:
    proof.check()


def _do_if_proven(proof: Proof, unit: Callable[[], Any]) -> None:
    _check_once(proof)
    unit()


@contextmanager
def proof_of(home: Path) -> Generator[Proof]:
    """What workers have to show as long as the block lasts."""
    sign, word = home / f"seen-by-workers-{uuid4().hex}", uuid4().hex
    home.mkdir(parents=True, exist_ok=True)
    sign.write_text(word, "utf-8")
    try:
        yield Proof(sign, word, CODE, tuple(_shard_libraries().items()))
    finally:
        sign.unlink(missing_ok=True)


def not_importable(error: BaseException) -> RecipeError:
    """Say that a worker does not find our code at all."""
    missing = re.search(r"No module named '[^']+'", f"{error} {error.__cause__}")
    found = missing[0] if missing else error
    return RecipeError(
        f"runtime.task_runner: a worker cannot load the work that it is sent ({found}); start scheduler and "
        "workers with PYTHONPATH set to this checkout, and with the packages of this environment"
    )
