"""Page of answers to prompts with images: the images and the prompt, the model's answers, and the expected answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from sft_core.inspection.rendering import render
from sft_core.inspection.run_pages import score_in_words, scores_of
from sft_core.inspection.thumbnails import Thumbnails
from sft_core.store.image_store import ImageRef, ImageStore

SAMPLES_PAGE = "samples.html"
MAX_PROMPTS = 30
TEXT_CHARS = 1200
Sample = Mapping[str, Any]


def samples_page(title: str, samples: Sequence[Sample], store: ImageStore) -> str | None:
    """Build one self-contained HTML page below 1 MB; None if no prompt has an image.

    Args:
        title: Name of the model.
        samples: Lines of `samples.jsonl`, one per model, prompt and generation setting.
        store: Store of the images.
    """
    prompts: dict[tuple[Any, Any], list[Sample]] = {}
    for sample in samples:
        prompts.setdefault((sample["source"], sample["row"]), []).append(sample)
    if not any(sample.get("images") for sample in samples):
        return None
    return render(
        "samples.html.jinja",
        title=title,
        prompts=list(prompts.values()),
        name_of=_name,
        images_of=_images,
        thumbnails=Thumbnails(store),
        max_prompts=MAX_PROMPTS,
        text_chars=TEXT_CHARS,
    )


def _images(sample: Sample) -> list[tuple[ImageRef, int]]:
    """Return the images of a prompt, each with its number of tokens."""
    return [(ImageRef(image["digest"], image["width"], image["height"]), image["tokens"]) for image in sample["images"]]


def _name(sample: Sample) -> str:
    """Name an answer by its model, its generation setting and its scores."""
    name = "answer" if sample["model"] == "trained" else "before training"
    return ", ".join([name, *(f"{key} {score_in_words(value)}" for key, value in scores_of(sample).items())])
