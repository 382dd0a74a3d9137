"""Page of answers to prompts with images: the images and the prompt, the model's answers, and the expected answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from sft_core.inspection.images import figures_of_images
from sft_core.inspection.markup import escaped, paragraph, section
from sft_core.inspection.run_pages import score_in_words, scores_of
from sft_core.inspection.style import STYLE
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
    shown, thumbnails = list(prompts.values())[:MAX_PROMPTS], Thumbnails(store)
    cards = "".join(_card(of_prompt, thumbnails) for of_prompt in shown)
    more = len(prompts) - len(shown)
    rest = paragraph(f"… and {more:,} more prompts; samples.jsonl has all") if more > 0 else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(title)}: samples</title><style>{STYLE}</style></head><body><main>"
        f'<h1>{escaped(title)}</h1><div class="sub">held-out prompts and answers</div><br>'
        f"{section('samples', 'Samples', cards + rest)}</main></body></html>\n"
    )


def _card(of_prompt: Sequence[Sample], thumbnails: Thumbnails) -> str:
    first = of_prompt[0]
    images = [
        (ImageRef(image["digest"], image["width"], image["height"]), image["tokens"]) for image in first["images"]
    ]
    texts = [("prompt", first["prompt"]), *((_name(sample), sample["output"]) for sample in of_prompt)]
    rows = "".join(_entry(name, text) for name, text in [*texts, ("expected", first["reference"])])
    return (
        f'<article class="row"><header><b>{escaped(first["source"])}</b> row {first["row"]:,}</header>'
        f"{figures_of_images(images, thumbnails)}<dl>{rows}</dl></article>"
    )


def _name(sample: Sample) -> str:
    """Name an answer by its model, its generation setting and its scores."""
    name = "answer" if sample["model"] == "trained" else "before training"
    return ", ".join([name, *(f"{key} {score_in_words(value)}" for key, value in scores_of(sample).items())])


def _entry(name: str, text: str) -> str:
    short = text if len(text) <= TEXT_CHARS else f"{text[:TEXT_CHARS]}…"
    return f'<dt>{escaped(name)}</dt><dd class="excerpt">{escaped(short)}</dd>'
