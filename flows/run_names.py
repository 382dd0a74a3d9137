"""Names of flow runs, from their parameters; Prefect calls these as a run begins."""

from prefect.runtime import flow_run

from sft_core.run_names import comparison_name, run_name, score_name


def of_recipe() -> str:
    """Of a flow that takes a recipe."""
    return run_name(flow_run.parameters["recipe"])


def of_evaluation() -> str:
    """Of a flow that takes a model and held-out rows."""
    return score_name(flow_run.parameters["model"], flow_run.parameters["recipe"])


def of_comparison() -> str:
    """Of a flow that takes two models and held-out rows."""
    return comparison_name(flow_run.parameters["model"], flow_run.parameters["against"], flow_run.parameters["recipe"])
