"""`import sft` loads no library: what a fresh process has imported afterwards."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "statement", ["import sft", "import sft; sft.quickstart()", "from sft import UserError, load_recipe, run, show"]
)
def test_nothing_is_loaded_but_the_standard_library(statement: str, tmp_path: Path) -> None:
    code = f"import sys\n{statement}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(PROJECT)!r})\n{code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split()) - sys.stdlib_module_names - {"__main__"}
    assert loaded == {"sft", "sft_core"}
