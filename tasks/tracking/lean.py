"""Import MLflow without pandas, for look-ups.

MLflow imports pandas at its start, if it is installed, for data sets made of data frames and for signatures of models.
A look-up uses neither, and pandas takes a quarter of the CPU time of importing MLflow. MLflow supports being
installed without pandas, as `mlflow-skinny` is; so pandas is hidden while a look-up imports MLflow. Only a process that
logs nothing may do this: without pandas, MLflow has no signatures of models.
"""

import contextlib
import sys
from collections.abc import Iterator

PLACEMENT = "It decides what is imported, and computes nothing."
HIDDEN = "pandas"


@contextlib.contextmanager
def without_pandas() -> Iterator[None]:
    """Let `import pandas` fail inside of the block, unless it was imported before."""
    if HIDDEN in sys.modules:
        yield
        return
    sys.modules[HIDDEN] = None  # type: ignore[assignment]  # Python refuses to import a module with the entry None
    try:
        yield
    finally:
        del sys.modules[HIDDEN]
