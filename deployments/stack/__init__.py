"""Servers and workers on one machine: `sft up`, and the small Prefect server that commands share without it.

    sft up       # front → keeper → services: a Prefect server, an MLflow server and two workers
    sft run …    # embedded: uses the stack if it is up, else the shared server, which stays for some idle minutes

What always holds: everything listens on the loopback interface unless configured otherwise, and shuts down in a fixed
order: work pools are paused, trainings save a checkpoint, workers end, and servers end last.
"""
