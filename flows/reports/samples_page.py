"""Page of samples with images, an artifact of the MLflow run: a table of text cannot show the images of a prompt."""

from pathlib import Path

from flows.reports.pages import read_lines
from sft_core.evaluation import SAMPLES_FILE
from sft_core.inspection import SAMPLES_PAGE, samples_page
from sft_core.store.artifact import ArtifactStore
from sft_core.store.image_store import ImageStore
from tasks.tracking import TrackedRun


def log_samples_page(run: TrackedRun, title: str, store: ArtifactStore, evaluation: Path) -> None:
    """Log the page to the MLflow run if any prompt had an image."""
    page = samples_page(title, read_lines(evaluation / SAMPLES_FILE), ImageStore.below(store.root))
    if page is not None:
        run.log_text(SAMPLES_PAGE, page)
