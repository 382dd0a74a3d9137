"""What every command does around its verb: defaults, quiet, one JSON line, and errors that people can act on.

`sft --help` imports this module and every command's, so libraries and recipes are imported inside functions, by the
command that needs them.
"""

import contextlib
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from sft_core.errors import RecipeError, StageInterruptedError, TrackerAwayError, UserError
from sft_core.processes.subprocesses import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from sft_core.processes.runtime import RuntimeConfig
    from sft_core.recipe import Recipe

MISTAKE, FAILURE, INTERRUPTED, TERMINATED = 2, 1, 130, 143
GOES_ON = "the same command goes on from what was done"


@dataclass(frozen=True, slots=True)
class Session:
    """The options that all commands share."""

    is_json: bool
    is_debugging: bool
    stdout: TextIO
    """The real standard output; with `--json`, everything else is sent to standard error."""

    def read(self, recipe: Path, overrides: Sequence[str] | None = None) -> "Recipe":
        """Read a recipe file, and print a notice for each name in it that is understood though it is not ours."""
        from sft_core.recipe.recipe_file import load_recipe

        return load_recipe(recipe, overrides or [], self.notify)

    def check_inputs(self, recipe: "Recipe") -> Path:
        """Open the home, and look for the inputs before any work; return the folder of all state."""
        from sft_core.recipe.inputs import locate_inputs
        from sft_core.store.file_digests import FileDigests

        home = self.open_home(recipe.runtime)
        locate_inputs(recipe, FileDigests.below(home))
        return home

    def prepare(self, recipe: "Recipe") -> None:
        """Do the same, and name a Prefect server for the flow that follows."""
        self.start_prefect(self.check_inputs(recipe))

    def open_home(self, runtime: "RuntimeConfig | None" = None) -> Path:
        """Set the defaults that Prefect and MLflow read when they are imported; return the folder of all state."""
        from deployments.stack.embedded import configure
        from sft_core.processes.runtime import RuntimeConfig

        runtime = runtime or RuntimeConfig()
        home = runtime.home_folder(os.environ)
        try:
            configure(home, self.is_debugging)
        except OSError as error:
            raise RecipeError(
                f"runtime.home: expected a folder that can be made and written to, found '{home}': {error.strerror}; "
                "set runtime.home or SFT_HOME to another"
            ) from error
        return home

    def start_prefect(self, home: Path) -> None:
        """Name a Prefect server for the flow that follows, before Prefect is imported."""
        from deployments.stack.embedded import use_shared_server

        use_shared_server(home)

    def notify(self, notice: str) -> None:
        """Tell something that is no mistake, on standard error."""
        sys.stderr.write(f"sft: {notice}\n")

    def emit(self, result: dict[str, Any]) -> None:
        """Write the one JSON line."""
        if self.is_json:
            import orjson

            self.stdout.write(orjson.dumps(result, default=str).decode() + "\n")
            self.stdout.flush()


@contextlib.contextmanager
def session(is_json: bool, is_debugging: bool) -> Iterator[Session]:
    """Run a command; turn errors into messages and exit codes."""
    # Prefect hands a SIGTERM on to whoever listened before it. Leaving by an exception, and not by the signal, lets the
    # flow set its final status and Prefect stop the server that it started for us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    if not is_debugging:
        _quieten()
    current = Session(is_json, is_debugging, _take_stdout() if is_json else sys.stdout)
    try:
        yield current
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        _fail(current, f"interrupted; {GOES_ON}", INTERRUPTED)
    except SystemExit as ending:
        if ending.code != TERMINATED:
            raise
        _fail(current, f"terminated; {GOES_ON}", TERMINATED)
    except UserError as error:
        _fail(current, str(error), MISTAKE)
    except (StageInterruptedError, TrackerAwayError) as error:
        _fail(current, str(error), EXIT_INTERRUPTED)
    except Exception as error:
        _fail(
            current,
            f"failed: {type(error).__name__}: {error}" + ("" if is_debugging else "\n(--debug shows the traceback)"),
            FAILURE,
        )


def _quieten() -> None:
    """Leave out the warnings of libraries; bitsandbytes warns of kernels that nobody asked for."""
    warnings.filterwarnings("ignore")
    for name in ("mlflow", "bitsandbytes"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _take_stdout() -> TextIO:
    """Keep the real standard output for us, and send to standard error what anybody else, a subprocess too, writes to
    it."""
    real = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return real


def _fail(current: Session, message: str, code: int) -> None:
    if current.is_debugging:
        traceback.print_exc()
    for line in message.splitlines():
        sys.stderr.write(f"sft: {line}\n")
    current.emit({"status": "failed", "exit_code": code, "error": message})
    raise typer.Exit(code)
