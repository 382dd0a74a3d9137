"""Frame of every command: defaults, quiet libraries, the JSON line of `--json`, error messages and exit codes.

`sft --help` imports this module and the module of every command, so libraries and recipes are imported inside
functions, by the command that needs them.
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

from sft_core.errors import StageInterruptedError, TrackerAwayError, UserError
from sft_core.processes.subprocesses import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from rich.console import Console

    from sft_core.processes.runtime import RuntimeConfig
    from sft_core.recipe import Recipe

MISTAKE, FAILURE, INTERRUPTED, TERMINATED = 2, 1, 130, 143
HOW_TO_RESUME = "run the same command again to resume"


@dataclass(frozen=True, slots=True)
class Session:
    """Options that all commands share, and their common steps."""

    is_json: bool
    is_debugging: bool
    stdout: TextIO
    """The real standard output. With `--json`, all other output goes to standard error."""

    @property
    def console(self) -> "Console":
        """Console for what people read; with `--json`, it writes to standard error."""
        from sft_cli.printing import plain_console

        return plain_console()

    def read(self, recipe: Path, overrides: Sequence[str] | None = None) -> "Recipe":
        """Read a recipe file, and print a notice for each field that is accepted under another library's name."""
        from sft_core.recipe.recipe_file import load_recipe

        return load_recipe(recipe, overrides or [], self.notify)

    def check_inputs(self, recipe: "Recipe") -> Path:
        """Open the state directory, and check that the inputs exist before any work; return the directory."""
        from deployments.stack.embedded import check_inputs

        return check_inputs(recipe, self.is_debugging)

    def prepare(self, recipe: "Recipe") -> None:
        """Check the inputs, and choose a Prefect server for the flow that follows."""
        self.check_inputs(recipe)
        self.start_prefect(recipe.runtime)

    def open_home(self, runtime: "RuntimeConfig | None" = None) -> Path:
        """Set the environment that Prefect and MLflow read when they are imported; return the state directory."""
        from deployments.stack.embedded import open_home

        return open_home(runtime, self.is_debugging)

    def start_prefect(self, runtime: "RuntimeConfig | None" = None) -> None:
        """Open the state directory, and choose a Prefect server for the flow that follows."""
        home = self.open_home(runtime)
        from deployments.stack.embedded import use_shared_server

        use_shared_server(home)

    def notify(self, notice: str) -> None:
        """Print a message that is not an error on standard error."""
        sys.stderr.write(f"sft: {notice}\n")

    def emit(self, result: dict[str, Any]) -> None:
        """Write the result as one line of JSON, if `--json` is set; its status is `completed` if it has no other."""
        if self.is_json:
            import orjson

            self.stdout.write(orjson.dumps({"status": "completed", **result}, default=str).decode() + "\n")
            self.stdout.flush()


@contextlib.contextmanager
def session(is_json: bool, is_debugging: bool) -> Iterator[Session]:
    """Run a command; turn errors into messages and exit codes."""
    # Prefect forwards a SIGTERM to the handler that was set before its own. Ending by an exception, and not by the
    # signal, lets the flow set its final status, and lets Prefect stop the server that it started for this command.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    if not is_debugging:
        _quieten()
    current = Session(is_json, is_debugging, _take_stdout() if is_json else sys.stdout)
    try:
        yield current
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        _fail(current, f"interrupted; {HOW_TO_RESUME}", INTERRUPTED)
    except SystemExit as ending:
        if ending.code != TERMINATED:
            raise
        _fail(current, f"terminated; {HOW_TO_RESUME}", TERMINATED)
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
    """Suppress the warnings of libraries; bitsandbytes warns about kernels that are not used."""
    warnings.filterwarnings("ignore")
    for name in ("mlflow", "bitsandbytes"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _take_stdout() -> TextIO:
    """Return the real standard output, and redirect descriptor 1 to standard error for all other code and for
    subprocesses."""
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
