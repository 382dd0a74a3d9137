"""Runs the examples of the public functions and of `docs/python.md`, in the working directory and inside an event loop,
as a notebook does: `python examples.py INTERPRETER PAGE`. Prints one JSON object on standard error.

Args:
    INTERPRETER: The interpreter of all subprocesses.
    PAGE: The page whose blocks of Python are run.
"""

import asyncio
import doctest
import json
import re
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import sft

ORDER = (
    "quickstart",
    "load_recipe",
    "plan",
    "check",
    "prepare",
    "show",
    "run",
    "find_runs",
    "scorecard",
    "load_model",
)
"""The order of a first session: later examples use what earlier ones have made."""


def failures(name: str) -> str:
    """Return what the examples of a function print where they do not hold; empty if all hold."""
    function = getattr(sft, name)
    (test,) = doctest.DocTestFinder(recurse=False).find(function, name, globs={"sft": sft})
    assert test.examples, f"sft.{name} has no example"
    report = StringIO()
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=report.write)
    return report.getvalue()


def printed_by(page: Path) -> tuple[str, dict[str, Any]]:
    """Run all blocks of Python of a page; return what they print, and their variables."""
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    with redirect_stdout(StringIO()) as out:
        exec(compile(block, str(page), "exec"), names)
    return out.getvalue(), names


async def main() -> None:
    sys.executable = sys.argv[1]
    missing = set(sft.__all__) - {*ORDER, "UserError"}
    failed = {name: found for name in ORDER if (found := failures(name))}
    printed, names = printed_by(Path(sys.argv[2]))
    again = {"stages": names["report"].stages, "rows": [view.source for view in sft.show(names["report"].model_dir)]}
    sys.stderr.write("\n" + json.dumps({"missing": sorted(missing), "failed": failed, "printed": printed, **again}))


if __name__ == "__main__":
    asyncio.run(main())
