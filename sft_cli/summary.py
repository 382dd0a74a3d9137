"""Printed summary of a run and of prepared data."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from sft_cli.printing import cell, heading, print_table
from sft_core.inspection.run_pages import interval
from tasks.progress.pace import in_words

if TYPE_CHECKING:
    from flows.preparation import PreparedData
    from flows.reports.run_report import RunReport

NOT_COMPARED = ("eval_entropy", "eval_perplexity", "num_prompts", "num_prompts_cut")
"""Numbers of the scorecard that are not shown: counts, and values that are derived from another score."""


def show_run(console: Console, report: "RunReport", home: Path) -> None:
    """Print model, scores, ledger, stages, and the addresses of the run."""
    became = "champion" if report.is_champion else "registered"
    console.print(heading(f"\n{report.recipe}", f"  {became}: {report.model_uri}"))
    console.print(f"  {report.verdict}", style="dim")
    if report.resumed_from is not None:
        console.print(f"  training was resumed from step {report.resumed_from:,}", style="dim")
    scores = _scores(report.scorecard, report.intervals)
    if scores:
        print_table(console, ["score", "before", "after training", "95 % interval"], scores)
    console.print(f"training  {_training(report.training)}")
    show_ledger(console, report.ledger)
    console.print(f"stages    {_stages(report.stages)}")
    console.print(f"report    {report.report}")
    console.print(f"model     {report.model_dir}")
    console.print(f"MLflow    run {report.mlflow_run_id}")
    for line in _how_to_look(report, home):
        console.print(f"          {line}")


def show_ledger(console: Console, ledger: dict[str, Any]) -> None:
    """Print the ledger of rows and tokens, with the reasons for rejections."""
    console.print(
        f"ledger    {ledger['rows_in']:,} rows in = {ledger['rows_trained']:,} trained + {ledger['rows_held_out']:,} "
        "held out"
        f" + {ledger['rows_rejected']:,} rejected"
        + (f" + {ledger['rows_left_out']:,} not selected" if ledger["rows_left_out"] else ""),
    )
    console.print(
        f"          {ledger['tokens_in']:,} tokens in = {ledger['tokens_trained']:,} trained + "
        f"{ledger['tokens_held_out']:,} held out"
        f" + {ledger['tokens_truncated']:,} cut off + {ledger['tokens_rejected']:,} rejected",
    )
    for reason, rows in ledger["rejected_by_reason"].items():
        console.print(f"          rejected {rows:,} × {reason}")


def show_data(console: Console, data: "PreparedData") -> None:
    """Print a prepared data set: splits, ledger, stages and folders."""
    for split, facts in data.splits.items():
        console.print(
            f"{split:<9} {facts['rows']:,} rows, {facts['tokens']:,} tokens in {facts['blocks']:,} blocks  digest "
            f"{facts['digest']}"
        )
    show_ledger(console, data.ledger.flat())
    console.print(f"stages    {_stages(data.stages)}")
    console.print(f"dataset   {data.folder / 'train'}")
    console.print(f"rejected  {data.folder / 'rejected.jsonl'}")
    console.print(f"report    {data.report}")


def _scores(scorecard: dict[str, float], intervals: dict[str, dict[str, float]]) -> list[list[str]]:
    """Return rows of a table: scores of answers, per-setting scores (with `/` in the name), then `eval_` scores."""
    rows = []
    names = [name for name in scorecard if not name.startswith("baseline_") and name not in NOT_COMPARED]
    for name in sorted(names, key=lambda name: (name.startswith("eval_"), "/" in name)):
        before, after = cell(scorecard.get(f"baseline_{name}"), ".4f"), f"{scorecard[name]:.4f}"
        rows.append([name, before, after, interval(intervals, name, ".4f")])
    return rows


def _training(training: dict[str, Any]) -> str:
    layout = ", without padding" if training["padding_free"] else ""
    trained, parameters = training["num_trained_parameters"], training["num_parameters"]
    return (
        f"{training['global_step']:,} steps over {training['num_tokens']:,} tokens in {in_words(training['seconds'])}; "
        f"{trained:,} of {parameters:,} parameters trained; attention {training['attn_implementation']}{layout}"
    )


def _stages(stages: dict[str, str]) -> str:
    by_state = {state: [stage for stage, found in stages.items() if found == state] for state in ("executed", "cached")}
    return "; ".join(f"{state}: {', '.join(names)}" for state, names in by_state.items() if names)


def _how_to_look(report: "RunReport", home: Path) -> list[str]:
    """Return the commands that open both UIs, and the addresses of this run.

    If both servers store their records in the state directory, one `sft up` opens both.
    """
    from flows.reports.links import run_path, ui_command
    from tasks.processes.servers import server_with_pages

    programs = Path(sys.executable).parent
    server = server_with_pages()
    lines = [str(report.mlflow_url)]
    if report.mlflow_url is None:
        page = f"http://127.0.0.1:5000/{run_path(report.experiment_id, report.mlflow_run_id)}"
        if server is None and report.tracking_uri == f"sqlite:///{home}/mlflow.db":
            return [f"SFT_HOME={home} {programs}/sft up --detach", page, "http://127.0.0.1:4200/runs"]
        lines = [ui_command(report.tracking_uri), page]
    if server:
        return [*lines, f"Prefect: {server.removesuffix('/api')}/runs"]
    return [*lines, f"PREFECT_HOME={home}/prefect {programs}/prefect server start", "http://127.0.0.1:4200/runs"]
