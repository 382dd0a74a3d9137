"""The order of the stages. Each file at the top is a flow, which reads like its paragraph in the README.

- `reports`: what a flow shows at its end, on the command line, in MLflow and in Prefect.
- `queries`: questions that need no flow run, such as a forecast, a plan, or the history of one row.
- `triggers`: the form in Prefect's UI, where a run is placed, and the trials of a sweep.
"""
