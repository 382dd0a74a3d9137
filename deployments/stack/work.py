"""Flow runs of a stack, as its Prefect server reports them."""

from typing import Any

from deployments.stack.addresses import ask
from deployments.stack.state import Stack


def work_of(stack: Stack) -> dict[str, Any]:
    """List the flow runs of a stack that are in progress, and those that wait.

    Returns:
        Lists `running` and `waiting` of flow runs, each with `name`, `state`, `pool`, `since` and `url`; empty if
        Prefect does not answer.
    """
    found: dict[str, Any] = {}
    for kind, types in (("running", ["RUNNING", "PENDING", "CANCELLING"]), ("waiting", ["SCHEDULED"])):
        body = {
            "flow_runs": {"state": {"type": {"any_": types}}},
            "limit": 200,
            "sort": "EXPECTED_START_TIME_ASC",
        }
        try:
            runs = ask(f"{stack.prefect_api}/flow_runs/filter", body)
        except OSError:
            runs = []
        found[kind] = [
            {
                "name": run["name"],
                "state": run["state_name"],
                "pool": run.get("work_pool_name"),
                "since": run["start_time"] or run["expected_start_time"],
                "url": f"{stack.prefect_url}/runs/flow-run/{run['id']}",
            }
            for run in runs
        ]
    return found
