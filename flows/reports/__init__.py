"""Reports of flows: on the command line, as pages of MLflow and Prefect, and as files in the state directory.

    report_run(recipe, store, run, data, candidate, registered)   # → RunReport, which is printed as JSON

What always holds: a report only repeats what is in artifacts, manifests and MLflow; it computes nothing of its own.
"""
