"""Reports of a flow: on the command line, as pages of MLflow and Prefect, and as a file in the state directory.

    report_run(recipe, store, run, data, trained, scorecard, registered)   # → RunReport, which is printed as JSON

What always holds: a report only says what artifacts, manifests and MLflow say; it computes nothing of its own.
"""
