"""Check that a worker of a cluster has the same state directory, code and libraries, before it makes a shard.

A worker on another machine may have another checkout, other libraries, or a folder of the same name that is not shared.
A worker that was started a week ago still has the code of that time in memory, whatever is in the files now. Each of
them would store wrong rows under a valid key. So every unit that is sent carries a `Proof`, which the worker checks
before the first unit of a run. `CODE` is digested when a process imports this module, which is before it imports the
code that makes shards.
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
from sft_core.store.stages import SHARD_STAGES
from tasks.stages.codebase import definition_of

PLACEMENT = "It decides where work is done."


def _code() -> str:
    root = Path(sft_core.__file__ or "").parent
    return digest({path.relative_to(root).as_posix(): path.read_text("utf-8") for path in sorted(root.rglob("*.py"))})


CODE = _code()
"""Digest of the files of `sft_core` at the time when this process imported them."""


def _shard_libraries() -> dict[str, str | None]:
    """Return library → version installed here, for the libraries in the keys of the stages that make shards."""
    closures = [own_code().closure(definition_of(stage)) for stage in SHARD_STAGES]
    return library_versions({library for closure in closures for library in closure.libraries})


@dataclass(frozen=True, slots=True)
class Proof:
    """State directory, code and libraries of the process that sends work, which a worker compares with its own."""

    sign: Path
    """File in the state directory that exists during the run."""
    word: str
    """Random content of that file."""
    code: str
    libraries: tuple[tuple[str, str | None], ...]

    def check(self) -> None:
        """Compare this process, which is a worker, with the process that sends work.

        Raises:
            RecipeError: if they differ; the message names the difference.
        """
        here = f"the worker on {socket.gethostname()} (process {os.getpid()})"
        try:
            word = self.sign.read_text("utf-8")
        except OSError as error:
            raise RecipeError(
                f"runtime.task_runner: {here} cannot read {self.sign} ({error.strerror}); the workers of a cluster "
                "need the same state directory at the same path: put runtime.home on a file system that they share"
            ) from error
        if word != self.word:
            raise RecipeError(
                f"runtime.task_runner: {here} finds another file at {self.sign}; the state directory is not shared"
            )
        if self.code != CODE:
            raise RecipeError(
                f"runtime.task_runner: {here} has imported other code of `sft_core` than this process; restart the "
                "workers from this checkout (PYTHONPATH set to it)"
            )
        found = library_versions(name for name, _ in self.libraries if name != "python")
        others = [f"{name} {found[name]} instead of {own}" for name, own in self.libraries if found[name] != own]
        if others:
            raise RecipeError(f"runtime.task_runner: {here} has {', '.join(others)}; install the same versions there")

    def guard(self, unit: Callable[[], Any]) -> Callable[[], None]:
        """Return a unit that makes this check in the worker before the first unit of a run."""
        return functools.partial(_do_if_proven, self, unit)


@functools.cache
def _check_once(proof: Proof) -> None:
    proof.check()


def _do_if_proven(proof: Proof, unit: Callable[[], Any]) -> None:
    _check_once(proof)
    unit()


@contextmanager
def proof_of(home: Path) -> Generator[Proof]:
    """Provide the proof that workers have to check while a block runs."""
    sign, word = home / f"seen-by-workers-{uuid4().hex}", uuid4().hex
    home.mkdir(parents=True, exist_ok=True)
    sign.write_text(word, "utf-8")
    try:
        yield Proof(sign, word, CODE, tuple(_shard_libraries().items()))
    finally:
        sign.unlink(missing_ok=True)


def not_importable(error: BaseException) -> RecipeError:
    """Return the error for a worker that cannot import the code of this project."""
    missing = re.search(r"No module named '[^']+'", f"{error} {error.__cause__}")
    found = missing[0] if missing else error
    return RecipeError(
        f"runtime.task_runner: a worker cannot load the work that it is sent ({found}); start scheduler and "
        "workers with PYTHONPATH set to this checkout, and with the packages of this environment"
    )
