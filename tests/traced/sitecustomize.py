"""Python imports this file as it starts, where its folder is on PYTHONPATH: it notes what each stage of a run executes.

With `SFT_TRACE_FOLDER` set, every function of the project that a stage calls is written there as a line `stage file
line caller`, in whichever process or thread it runs. What runs while a module is being imported is left out.
"""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

PROJECT = str(Path(__file__).parents[2])
OWN = tuple(f"{PROJECT}/{package}/" for package in ("sft_core", "tasks"))
STAGE = "SFT_TRACE_STAGE"
TraceFunction = Callable[[FrameType, str, object], object]


class Tracer:
    """The trace function of all threads of this process: it sees each call of a Python function, and of the few whose
    end matters the end."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / f"{os.getpid()}.txt").open("a", buffering=1)
        is_program = "-m" in sys.orig_argv and any(word.startswith("sft_core.") for word in sys.orig_argv)
        self._stages = [os.environ.get(STAGE) if is_program else None]
        self._noted: set[tuple[str | None, str, int, str]] = set()
        self._importing = threading.local()

    def __call__(self, frame: FrameType, event: str, argument: object) -> "TraceFunction | None":
        code = frame.f_code
        if code.co_name == "<module>" and frame.f_globals.get("__name__") != "__main__":
            self._importing.depth = getattr(self._importing, "depth", 0) + 1
            frame.f_trace_lines = False
            return self._end_import
        if not code.co_filename.startswith(OWN):
            return None
        stage = self._stage_of(frame)
        if stage is not None:
            self._begin(stage)
        if not getattr(self._importing, "depth", 0):
            self._note(code.co_filename, code.co_firstlineno, frame.f_back)
        if stage is None:
            return None
        frame.f_trace_lines = False
        return self._end_stage

    def _end_import(self, frame: FrameType, event: str, argument: object) -> "TraceFunction":
        if event == "return":
            self._importing.depth -= 1
        return self._end_import

    def _stage_of(self, frame: FrameType) -> str | None:
        """The stage that begins to be at work: it describes what is to be done in `_make`, and does it in `fill`."""
        match frame.f_code.co_qualname:
            case "Stage._make":
                return str(frame.f_locals["self"].name)
            case "Work.fill":
                return str(frame.f_locals["plan"].ref.stage)
        return None

    def _begin(self, stage: str) -> None:
        self._stages.append(stage)
        os.environ[STAGE] = stage

    def _end_stage(self, frame: FrameType, event: str, argument: object) -> "TraceFunction":
        if event == "return":
            self._stages.pop()
            os.environ[STAGE] = self._stages[-1] or ""
        return self._end_stage

    def _note(self, file: str, line: int, caller: FrameType | None) -> None:
        noted = (self._stages[-1], file, line, caller.f_code.co_filename if caller else "-")
        if noted[0] and noted not in self._noted:
            self._noted.add(noted)
            own, by = (path.removeprefix(f"{PROJECT}/").replace(" ", "_") for path in (file, noted[3]))
            self._file.write(f"{noted[0]} {own} {line} {by}\n")


if "SFT_TRACE_FOLDER" in os.environ:
    tracer = Tracer(Path(os.environ["SFT_TRACE_FOLDER"]))
    threading.settrace(tracer)
    sys.settrace(tracer)
