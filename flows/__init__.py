"""Prefect flows, which run the stages in order. Each file at the top is one flow, and follows the README.

- `reports`: the results that a flow shows at its end, on the command line, in MLflow and in Prefect.
- `queries`: questions that need no flow run, such as a forecast, a plan, or the history of one row.
- `triggers`: the form in Prefect's UI, the choice of where a run trains, and the trials of a sweep.
"""
