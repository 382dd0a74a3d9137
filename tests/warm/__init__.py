"""A Python whose imports are done, for tests in which the process is not the point.

`sft run` starts four processes: the command, the trainer, the evaluator, and the one that verifies what was stored.
Each imports torch, transformers, Prefect or MLflow first, which takes 5 to 12 seconds of processor time, and then
computes for about a second, because the models of the tests are tiny. So the tests start these processes by another
interpreter. `warm_python()` is the path of a small program that passes its arguments, environment, working directory
and open streams on to a server, which has imported everything once and forks:

    test ──starts──▶ client.py -m sft_cli.main run recipe.yaml        a process that can be waited for and signalled
                         │ socket: arguments, environment, streams
                         ▼
                     server.py ──forks──▶ the command, with its own memory, environment and working directory

What is forked starts its own subprocesses in the same way, because its `sys.executable` is the client.

The client runs the real interpreter instead, as if it was not there, for all but the modules in `MODULES` and those of
the tests, and for another Hub than the server's, whose address the Hub's client reads when it is imported. Where
`PYTHONPATH` leads to other code than that of this checkout, a copy that was edited or the code that is stored with a
model, our modules are imported once more.

Tests about the start or the end of processes, and the whole flow in `make test`, are run by `sys.executable`.
"""

from tests.warm.start import MODULES, warm_python

__all__ = ["MODULES", "warm_python"]
