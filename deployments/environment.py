"""Environment variables for the processes of a Prefect installation, where Prefect's defaults do not fit."""

HEARTBEAT_SECONDS = 30
"""Interval of a flow run's heartbeats, the shortest that Prefect allows."""
HEARTBEAT_ENVIRONMENT = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS)}
"""Environment of every process that runs a flow of this project, set for workers or in the job variables of
deployments. By default Prefect sends a heartbeat every 3 minutes, and the automation `sft: dead runs` would set live
runs to Crashed."""
SERVER_ENVIRONMENT = {
    # leases in memory are lost in a restart, and the slots that they held stay occupied permanently
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # seconds between searches for expired leases, whose slots are then released
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "5",
}
"""Environment of a Prefect server."""
SHARED_SERVER_ENVIRONMENT = {
    **SERVER_ENVIRONMENT,
    # only the services that record flow runs: no UI, no scheduler, no check for late runs
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # block types are only needed by the UI and deployments; finding them imports every installed Prefect integration
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
    # several commands share one sqlite file: wait for it rather than fail
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
    "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
}
"""Environment of the Prefect server that the commands of one state directory share."""
