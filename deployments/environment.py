"""What the processes of a Prefect installation need in their environment, because Prefect's own defaults do not fit."""

HEARTBEAT_SECONDS = 30
"""The shortest that Prefect knows."""
HEARTBEAT_ENVIRONMENT = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS)}
"""Of every process that runs one of our flows, so of workers or in the job variables of deployments: by itself Prefect
says every 3 minutes that a run lives, and the automation `sft: dead runs` would take it for dead."""
SERVER_ENVIRONMENT = {
    # in memory, leases are forgotten in a restart, and the slots that they held stay taken for good
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # leases that ran out are taken back as often
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "5",
}
"""Of a Prefect server."""
