"""Pages of a flow run in Prefect. The key of a page is the same in every run, so that Prefect shows its history.

    mlflow-run    link to the MLflow run              loss-curve   losses of the training
    data-report   contents of the data, rejections    samples      prompts with answers
    scorecard     scores and the gate's verdict       sft-run      summary of the run
    comparison    two models on the same rows         promotion    which version is champion, and why

Their contents are made in `sft_core` (`run_pages`, `inspection.summary`) and in the other modules of this package.
"""

from pathlib import Path
from typing import Any

import orjson
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from sft_core.evaluation import SAMPLES_FILE
from sft_core.inspection.run_pages import comparison_page, loss_page, promotion_page, samples_rows, scorecard_page
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.training import METRICS_FILE
from tasks.report_data import report_file, summary_of


def show_data(name: str, store: ArtifactStore, report: ArtifactRef) -> None:
    """Show the data report of a data set: its summary, and the path of the whole report."""
    where = f"The whole report, with rows token by token: `{report_file(store, report)}`"
    text = f"{summary_of(store, report)}\n{where}\n"
    create_markdown_artifact(text, key="data-report", description=f"The data of {name}: rows, tokens, lengths, gates")


def show_training(name: str, training: Path, summary: str) -> None:
    """Show the loss curves of a training."""
    text = loss_page(read_lines(training / METRICS_FILE), summary)
    create_markdown_artifact(text, key="loss-curve", description=f"Loss and held-out loss of {name}")


def show_scores(
    name: str, evaluation: Path, scores: dict[str, float], intervals: dict[str, dict[str, float]], verdict: str | None
) -> None:
    """Show the scores, and a table of samples if prompts were answered."""
    text = scorecard_page(scores, intervals, verdict)
    create_markdown_artifact(text, key="scorecard", description=f"Scores of {name} on held-out rows")
    rows: list[dict[str, Any]] = [*samples_rows(read_lines(evaluation / SAMPLES_FILE))]
    if rows:
        description = f"The first {len(rows)} held-out prompts of {name} with the answers; `samples.jsonl` has all"
        create_table_artifact(rows, key="samples", description=description)


def show_comparison(model: str, against: str, scores: tuple[Any, Any], gains: Any) -> None:
    """Show the scores of two models, and the gains of the first over the second."""
    text = comparison_page(model, against, scores, gains)
    create_markdown_artifact(text, key="comparison", description="Two models on the same held-out rows")


def show_promotion(model: str, verdict: str, numbers: dict[str, Any] | None, aliases: dict[str, str]) -> None:
    """Show the decision on a model version, and the aliases of the model."""
    text = promotion_page(model, verdict, numbers, aliases)
    create_markdown_artifact(text, key="promotion", description="The decision, and the version that is champion now")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read all lines of a JSONL file; return an empty list if there is no file."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
