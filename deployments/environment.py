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
SHARED_SERVER_ENVIRONMENT = {
    **SERVER_ENVIRONMENT,
    # only the services that record flow runs; no pages, no scheduler, no look for late runs
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # types of blocks are for pages and deployments; finding them imports every installed Prefect integration
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
    # several commands share one sqlite file: wait for it rather than fail
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
    "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
}
"""Of the Prefect server that the commands of one state directory share."""
