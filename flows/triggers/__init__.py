"""Runs that do not start on the command line: from the form in Prefect's UI, in deployments, and as trials of a sweep.

    lay_form(content, {"training": {"learning_rate": 3e-4}})   # content of a recipe file, with one value replaced

What always holds: a run is the same run, whoever starts it and wherever it trains.
"""
