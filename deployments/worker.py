"""A single worker, in a container or on a machine that joins a server: `python -m deployments.worker sft-gpu`.

It is Prefect's process worker with a shutdown that suits training: SIGTERM is first sent to its flow runs, whose
trainers save a checkpoint, and only then to the worker, which would give them 30 seconds. A second SIGTERM ends them
without waiting. The exit code is the worker's; a health check is served on port 8080 at `/health`.

PREFECT_API_URL and MLFLOW_TRACKING_URI name the servers.
"""

import os
import secrets
import signal
import subprocess
import sys
from functools import partial

from deployments.environment import HEARTBEAT_ENVIRONMENT
from deployments.stack.processes import PART_VARIABLE, TOKEN_VARIABLE, end_all, end_flow_runs
from sft_core.processes.subprocesses import die_with_parent
from sft_core.processes.waiting import wait_until
from tasks.processes.launching import SECONDS_TO_SAVE

SECONDS_OF_A_WORKER = 45.0
POLL_SECONDS = 0.2


def work(pool: str) -> int:
    """Run a worker of a pool until it ends or gets a signal; return its exit code, or 0 after a signal.

    Args:
        pool: Name of a work pool of type process.
    """
    heard: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: heard.append(number))
    token = secrets.token_hex(16)
    worker = subprocess.Popen(
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process", "--with-healthcheck"],
        env={**HEARTBEAT_ENVIRONMENT, **os.environ, TOKEN_VARIABLE: token, PART_VARIABLE: pool},
        start_new_session=True,
        preexec_fn=partial(die_with_parent, signal.SIGTERM),
    )
    wait_until(lambda: worker.poll() is not None or heard, every=POLL_SECONDS)
    end_flow_runs(token, SECONDS_TO_SAVE, lambda: len(heard) > 1, partial(print, file=sys.stderr, flush=True))
    if worker.poll() is None:
        worker.terminate()
        try:
            worker.wait(SECONDS_OF_A_WORKER)
        except subprocess.TimeoutExpired:
            worker.kill()
    end_all(token, 0.0)
    return 0 if heard else worker.wait()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("expected the name of a work pool: python -m deployments.worker sft-gpu")
    sys.exit(work(sys.argv[1]))
