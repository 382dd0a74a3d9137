"""The effects around `sft_core`: one file per stage or task, and the packages that they use.

A stage (`ingest_sources` … `register_model`) describes its work, and `stages` decides whether it has to be done. Inside
a flow, a stage runs as a Prefect task; outside of one it runs as a plain function.

- `stages`: the runner of all stages, Prefect's cache policy, `sft plan` and `--accept-code`.
- `processes`: child processes, time limits, retries, and the slots of GPUs.
- `progress`: progress bars, progress artifacts and notices of running work.
- `tracking`: all code that calls MLflow.
- `workers`: execution of shards in this process, in worker processes, on Dask or on Ray.
- `home`, `context`, `events`: the state directory, the current flow run, and events for automations.
"""
