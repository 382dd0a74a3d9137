"""A look-up imports MLflow without pandas, and what runs need stays as it is."""

import subprocess
import sys

LOOK_UP = """
import sys
from tasks.tracking.lean import without_pandas
with without_pandas():
    from tasks.tracking.lookup.history import open_history
heavy = {"pandas", "mlflow", "prefect", "torch", "tasks.tracking.tracked_run", "sft_core.recipe"}
print(*sorted(heavy & set(sys.modules)))
import pandas
"""
LOADED_BEFORE = """
import pandas
from tasks.tracking.lean import without_pandas
with without_pandas():
    import pandas as same
assert same is pandas
from tasks.tracking import Tracker, log_model
import tasks.tracking
for names in tasks.tracking._NAMES.values():
    for name in names:
        getattr(tasks.tracking, name)
"""


def printed(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_look_up_loads_mlflow_and_neither_pandas_nor_what_runs_need() -> None:
    assert printed(LOOK_UP) == "mlflow"


def test_pandas_that_is_there_stays_and_all_that_is_exported_is_found() -> None:
    assert printed(LOADED_BEFORE) == ""
