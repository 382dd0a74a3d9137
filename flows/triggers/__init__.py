"""How runs begin that no command line starts: the form in Prefect's UI, deployments, and the trials of a sweep.

    RunForm(training={"learning_rate": 3e-4})   # laid over a recipe file, as `--set` does on the command line

What always holds: a run is the same run, whoever starts it and wherever it is placed.
"""
