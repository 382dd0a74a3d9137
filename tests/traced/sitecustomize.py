"""Python imports this file as it starts, where its folder is on PYTHONPATH: it notes what each stage of a run executes.

With `SFT_TRACE_FOLDER` set, every function of the project that a stage calls is written there as a line `stage file
line caller`, in whichever process or thread it runs. What runs while a module is being imported is left out.
"""

import os
import sys
import threading
from pathlib import Path
from types import FrameType

PROJECT = str(Path(__file__).parents[2])
OWN = tuple(f"{PROJECT}/{package}/" for package in ("sft_core", "tasks"))
STAGE = "SFT_TRACE_STAGE"


class Tracer:
    """The profile function of all threads of this process."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / f"{os.getpid()}.txt").open("a", buffering=1)
        is_program = "-m" in sys.orig_argv and any(word.startswith("sft_core.") for word in sys.orig_argv)
        self._stages = [os.environ.get(STAGE) if is_program else None]
        self._noted: set[tuple[str | None, str, int, str]] = set()
        self._importing = threading.local()

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event not in ("call", "return"):
            return
        code = frame.f_code
        if code.co_name == "<module>" and frame.f_globals.get("__name__") != "__main__":
            depth = getattr(self._importing, "depth", 0)
            self._importing.depth = max(
                0, depth + (1 if event == "call" else -1)
            )  # this module's own end is seen first
        elif code.co_filename.startswith(OWN):
            self._follow(frame, event)
            if event == "call" and not getattr(self._importing, "depth", 0):
                self._note(code.co_filename, code.co_firstlineno, frame.f_back)

    def _follow(self, frame: FrameType, event: str) -> None:
        """Know which stage is at work: it describes what is to be done in `_make`, and does it in `fill`."""
        name = frame.f_code.co_qualname
        if name not in ("Stage._make", "Work.fill"):
            return
        if event == "call":
            variables = frame.f_locals
            self._stages.append(variables["self"].name if name == "Stage._make" else variables["plan"].ref.stage)
        else:
            self._stages.pop()
        os.environ[STAGE] = self._stages[-1] or ""

    def _note(self, file: str, line: int, caller: FrameType | None) -> None:
        noted = (self._stages[-1], file, line, caller.f_code.co_filename if caller else "-")
        if noted[0] and noted not in self._noted:
            self._noted.add(noted)
            own, by = (path.removeprefix(f"{PROJECT}/").replace(" ", "_") for path in (file, noted[3]))
            self._file.write(f"{noted[0]} {own} {line} {by}\n")


if "SFT_TRACE_FOLDER" in os.environ:
    tracer = Tracer(Path(os.environ["SFT_TRACE_FOLDER"]))
    threading.setprofile(tracer)
    sys.setprofile(tracer)
